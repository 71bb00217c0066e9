"""Who has a permit and gets no thread in time is told so, while the requests that have one go on."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np

from facegate_ensemble.runtime.cores import lane_count
from support.wire import encoded, infer, refused

MOST = 1024  # faces of a request


def permits_in_use(server):
    text = httpx.get(f"http://{server.metrics}/metrics").text
    return float(re.findall(r'^facegate_permits_in_use{.*model="face_analyze".*} (\S+)$', text, re.MULTILINE)[0])


def test_a_request_that_waits_for_a_thread_too_long_is_refused(open_server, samples):
    """Every permit but one is a request's of very many faces; those that find no thread in time are refused like it."""
    picture = encoded("IMAGE", samples["image_T1.jpg"])
    row = [200, 200, 400, 440, 250, 300, 350, 300, 300, 350, 260, 400, 340, 400]
    faces = np.frombuffer(np.tile(np.array(row, dtype="<f4"), MOST).tobytes(), dtype=np.uint8)

    def long(_):
        return infer("grpc", open_server.grpc, "face_analyze", [picture, ("FACES_IN", faces)], anti_spoofing=True)

    with ThreadPoolExecutor(2 * lane_count()) as callers:
        begun = [callers.submit(long, number) for number in range(2 * lane_count() - 1)]
        while permits_in_use(open_server) < len(begun):
            assert not any(each.done() for each in begun)
            time.sleep(0.02)
        answer = infer("grpc", open_server.grpc, "face_analyze", [picture])
        others = [each.result() for each in begun]
    assert refused(answer, "grpc", "RESOURCE_EXHAUSTED"), answer.message
    assert "no thread within 2 s" in answer.message
    went_on = [each for each in others if each.outputs]  # one at least: it may have the help of the other threads
    assert went_on and all(len(each.outputs["BOXES"]) == MOST for each in went_on)
    late = [each for each in others if not each.outputs]
    assert late and all(refused(each, "grpc", "RESOURCE_EXHAUSTED") for each in late)
    assert len(infer("grpc", open_server.grpc, "face_analyze", [picture]).outputs["BOXES"]) == 1
