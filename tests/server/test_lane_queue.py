"""Who has a permit and gets no thread in time is told so, while the requests that have one go on."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ensemble.cores import lane_count
from support.serving import serving
from support.wire import encoded, infer, refused

MOST = 1024  # faces of a request


@pytest.fixture
def server(repository, tmp_path):
    """One to overload."""
    with serving(tmp_path / "log") as running:
        yield running


def test_a_request_that_waits_for_a_thread_too_long_is_refused(server, samples):
    """Every permit but one is a request's of very many faces; those that find no thread in time are refused like it."""
    picture = encoded("IMAGE", samples["image_T1.jpg"])
    row = [200, 200, 400, 440, 250, 300, 350, 300, 300, 350, 260, 400, 340, 400]
    faces = np.frombuffer(np.tile(np.array(row, dtype="<f4"), MOST).tobytes(), dtype=np.uint8)

    def long(_):
        return infer("grpc", server.grpc, "face_analyze", [picture, ("FACES_IN", faces)], anti_spoofing=True)

    with ThreadPoolExecutor(2 * lane_count()) as callers:
        begun = [callers.submit(long, number) for number in range(2 * lane_count() - 1)]
        time.sleep(0.5)  # they are there first
        answer = infer("grpc", server.grpc, "face_analyze", [picture])
        others = [each.result() for each in begun]
    assert refused(answer, "grpc", "RESOURCE_EXHAUSTED"), answer.message
    assert "no thread within 2 s" in answer.message
    assert sum(len(each.outputs.get("BOXES", ())) == MOST for each in others) >= lane_count()
    assert all(each.outputs or refused(each, "grpc", "RESOURCE_EXHAUSTED") for each in others)
    assert len(infer("grpc", server.grpc, "face_analyze", [picture]).outputs["BOXES"]) == 1
