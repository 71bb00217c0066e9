"""The rows of the error table that need a server in trouble: one that is overloaded, one that has a fault."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import onnx
import pytest

from support.changed_models import append, liveness_graph, sealed
from support.serving import serving_repository
from support.wire import TRANSPORTS, encoded, infer, refused

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest.fixture(scope="module")
def broken_server(repository, tmp_path_factory):
    """Its second liveness model answers NaN where no pixel is dark: not to the canary's pictures, which have black."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(repository, folder / "repository")
    append(
        liveness_graph(folder / "repository", "minifasnet_v1se"),
        {"limit": np.float32(30)},
        [
            ("Cast", ["CROPS"], "pixels", {"to": onnx.TensorProto.FLOAT}),
            ("ReduceMin", ["pixels"], "darkest", {"keepdims": 0}),
            ("Sub", ["limit", "darkest"], "darkness", {}),
            ("Sqrt", ["darkness"], "root", {}),
            ("Sub", ["root", "root"], "nothing", {}),
            ("Add", ["right", "nothing"], "PROBABILITIES", {}),
        ],
    )
    sealed(folder / "repository")
    with serving_repository(folder / "log", folder / "repository") as running:
        yield running


def test_overload_is_said_at_once_and_passes(narrow_server, pictures, samples, transport):
    many = [encoded("IMAGE", pictures / "detection/bald_guys.jpg")]
    ask = lambda _: infer(transport, narrow_server.address(transport), "face_analyze", many, anti_spoofing=True)  # noqa: E731
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    turned_away = [answer for answer in answers if answer.message]
    assert all(refused(answer, transport, "RESOURCE_EXHAUSTED") for answer in turned_away)
    assert 0 < len(turned_away) < 12
    assert len(ask(0).outputs["BOXES"]) == 24


def test_a_liveness_net_that_fails_is_an_error_and_never_a_verdict(broken_server, samples, transport):
    bright = 60 + cv2.imread(str(samples["image_T1.jpg"])) * (195 / 255)
    image = cv2.imencode(".png", bright.astype(np.uint8))[1].tobytes()
    pair = [encoded(f"IMAGE_{i}", image) for i in (1, 2)]
    where = broken_server.address(transport)
    answer = infer(transport, where, "face_verify", pair, anti_spoofing=True)
    assert refused(answer, transport, "INTERNAL")
    assert "/" not in answer.message
    assert "Traceback" not in answer.message
    incident = answer.message.rsplit(" ", 1)[1]
    assert f"incident {incident}\nTraceback" in broken_server.log.read_text()
    assert infer(transport, where, "face_verify", pair).outputs["VERIFIED"][0]
