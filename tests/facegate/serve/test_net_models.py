"""A net that is asked for directly, and fails at one picture: its caller hears of an incident and of nothing else."""

from __future__ import annotations

import re
import shutil

import numpy as np
import onnx
import pytest

from support.changed_models import append, liveness_graph, sealed
from support.serving import serving_repository
from support.wire import TRANSPORTS, infer, refused

NET = "minifasnet_v2"
DARK = np.zeros((2, 80, 80, 3), np.uint8)
BRIGHT = np.full((2, 80, 80, 3), 200, np.uint8)


@pytest.fixture(scope="module")
def server(repository, tmp_path_factory):
    """One of its models cannot be run where no pixel is dark: the darkest pixel over 128 is an index out of range."""
    folder = tmp_path_factory.mktemp("failing")
    shutil.copytree(repository, folder / "repository")
    append(
        liveness_graph(folder / "repository", NET),
        {"bright": np.float32(128), "only": np.zeros(1, np.float32)},
        [
            ("Cast", ["CROPS"], "pixels", {"to": onnx.TensorProto.FLOAT}),
            ("ReduceMin", ["pixels"], "darkest", {"keepdims": 0}),
            ("Div", ["darkest", "bright"], "share", {}),
            ("Cast", ["share"], "index", {"to": onnx.TensorProto.INT64}),
            ("Gather", ["only", "index"], "nothing", {}),
            ("Add", ["right", "nothing"], "PROBABILITIES", {}),
        ],
    )
    sealed(folder / "repository")
    with serving_repository(folder / "log", folder / "repository") as running:
        yield running


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_run_that_fails_is_one_line_without_a_path_and_the_next_one_is_answered(server, transport):
    where = server.address(transport)
    answer = infer(transport, where, NET, [("CROPS", BRIGHT)])
    assert refused(answer, transport, "INTERNAL")
    told = rf"INTERNAL: a fault in {NET}; the server's log has incident ([0-9a-f]{{8}})"
    incident = re.fullmatch(told, answer.message)
    assert incident, answer.message
    log = server.log.read_text()
    assert f"{NET}: incident {incident[1]}\nTraceback" in log
    assert "indices element out of data bounds" in log
    assert infer(transport, where, NET, [("CROPS", DARK)]).outputs["PROBABILITIES"].shape == (2, 3)
