"""The rows of the error table that need a server in trouble: one that is overloaded, one that has a fault."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ensemble.onnx_session import CPU, graph_for
from support.serving import serving_repository
from support.wire import TRANSPORTS, encoded, infer, refused

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest.fixture(scope="module")
def broken_server(repository, tmp_path_factory):
    """Its second liveness net answers NaN, but for pictures as black as those that the server asks itself about."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(repository, folder / "repository")
    path = graph_for(folder / "repository/minifasnet_v1se/1", CPU)
    net = onnx.load(path)
    last = next(node for node in net.graph.node if "PROBABILITIES" in node.output)
    last.output[:] = ["sound"]
    net.graph.initializer.append(numpy_helper.from_array(np.float32(5), "five"))
    for op, inputs, output, attributes in (
        ("Cast", ["CROPS"], "pixels", {"to": onnx.TensorProto.FLOAT}),
        ("ReduceMean", ["pixels"], "mean", {"keepdims": 0}),
        ("Sub", ["five", "mean"], "darkness", {}),
        ("Sqrt", ["darkness"], "root", {}),
        ("Sub", ["root", "root"], "nothing", {}),
        ("Add", ["sound", "nothing"], "PROBABILITIES", {}),
    ):
        net.graph.node.append(onnx.helper.make_node(op, inputs, [output], **attributes))
    onnx.save(net, path)
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
    pair = [encoded(f"IMAGE_{i}", samples["image_T1.jpg"]) for i in (1, 2)]
    where = broken_server.address(transport)
    answer = infer(transport, where, "face_verify", pair, anti_spoofing=True)
    assert refused(answer, transport, "INTERNAL")
    assert "/" not in answer.message
    assert "Traceback" not in answer.message
    incident = answer.message.rsplit(" ", 1)[1]
    assert f"incident {incident}\nTraceback" in broken_server.log.read_text()
    assert infer(transport, where, "face_verify", pair).outputs["VERIFIED"][0]
