"""FP16 in the served graphs: what the models answer then, what stays in FP32, and which layers cost most."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facegate.build.checks.pictures import Pictures, fed
from facegate.build.precision.half import in_precision
from facegate.build.precision.rehearsal import rehearsed
from facegate.build.precision.sensitivity import sensitivity
from facegate.build.target import Precision
from facegate.errors import GraphError
from facegate.packs.pack_file import PackFile
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from support.serving import ROOT

Graphs = dict[str, onnx.ModelProto]
Crops = dict[str, NDArray[np.uint8]]
Answers = dict[str, NDArray[np.float32]]
NETS = ("face_detector", "face_detector_256x256", "face_recognizer", "minifasnet_v2", "minifasnet_v1se")
NO_CROPS = np.zeros((0, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def graphs(repository: Path) -> Graphs:
    return {model: onnx.load(repository / model / "1" / "model.onnx") for model in NETS}


@pytest.fixture(scope="module")
def crops(pack: PackFile, repository: Path, samples: dict[str, Path]) -> Crops:
    """What each net is fed for the sample pictures."""
    images = list(Pictures(tuple(samples.values())).images())
    return fed(pack, OnnxInferer(repository, pack.nets), images)


def answers(graph: onnx.ModelProto, crops: NDArray[np.uint8]) -> Answers:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: crops}), strict=True))


def constants(graph: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    return {each.name: numpy_helper.to_array(each) for each in graph.graph.initializer}


def made(*nodes: onnx.NodeProto, **weights: NDArray[Any]) -> onnx.ModelProto:
    """A served net of these nodes, from "pixels", [B, 3, 8, 8], to "values", [B, 3, 8, 8]."""
    feed = [
        helper.make_node("Cast", ["FACES"], ["facegate/cast"], name="facegate/cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["facegate/cast"], ["pixels"], name="facegate/transpose", perm=[0, 3, 1, 2]),
    ]
    read = [
        helper.make_node("GlobalAveragePool", ["values"], ["pooled"], name="facegate/pool"),
        helper.make_node("Flatten", ["pooled"], ["EMBEDDINGS"], name="facegate/flatten"),
    ]
    graph = helper.make_graph(
        [*feed, *nodes, *read],
        "face_recognizer",
        [helper.make_tensor_value_info("FACES", TensorProto.UINT8, ["B", 8, 8, 3])],
        [helper.make_tensor_value_info("EMBEDDINGS", TensorProto.FLOAT, ["B", 3])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def conv(name: str, source: str, output: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, f"{name}.weight"], [output], name=name)


def scaling(factor: float) -> NDArray[np.float32]:
    return (np.eye(3, dtype=np.float32) * np.float32(factor)).reshape(3, 3, 1, 1)


@pytest.mark.parametrize("model", NETS)
@pytest.mark.parametrize("precision", Precision)
def test_inputs_and_outputs_stay_and_so_does_the_graph_that_was_given(
    graphs: Graphs, model: str, precision: Precision
) -> None:
    graph = graphs[model]
    before = graph.SerializeToString()
    converted = in_precision(graph, precision, ())
    assert graph.SerializeToString() == before
    assert list(converted.graph.input) == list(graph.graph.input)
    assert list(converted.graph.output) == list(graph.graph.output)
    assert (converted == graph) == (precision is Precision.fp32)


def test_weights_take_half_the_room_in_fp16(graphs: Graphs) -> None:
    whole, half = (in_precision(graphs["face_recognizer"], precision, ()).ByteSize() for precision in Precision)
    assert half < 0.52 * whole


def test_pixels_far_to_the_right_are_not_rounded_to_halves_in_fp16(graphs: Graphs, crops: Crops) -> None:
    half = rehearsed(in_precision(graphs["face_detector"], Precision.fp16, ()))
    boxes = answers(half, crops["face_detector"])["BOXES"]
    far = boxes[boxes > 512]
    assert len(far) > 100
    assert np.mean(far * 2 == np.rint(far * 2)) < 0.05


@pytest.mark.parametrize(("model", "exact"), [("face_detector", True), ("minifasnet_v1se", False)])
def test_sigmoids_that_make_scores_are_fp32_and_others_follow_the_net(graphs: Graphs, model: str, exact: bool) -> None:
    """Neighbours' scores near 1 lie closer than FP16's steps, and the best of them gives the box."""
    converted = in_precision(graphs[model], Precision.fp16, ())
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(converted).graph.value_info
    }
    made = {types[node.output[0]] for node in converted.graph.node if node.op_type == "Sigmoid"}
    assert made == {TensorProto.FLOAT if exact else TensorProto.FLOAT16}


def test_nodes_kept_in_fp32_hand_one_another_fp32(graphs: Graphs, crops: Crops) -> None:
    graph = graphs["face_detector"]
    kept = in_precision(graph, Precision.fp16, [node.name for node in graph.graph.node])
    expected, found = (answers(each, crops["face_detector"]) for each in (graph, kept))
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_two_kept_nodes_may_take_the_same_value(graphs: Graphs, crops: Crops) -> None:
    takers = [node.name for node in graphs["face_detector"].graph.node if "256" in node.input]
    assert len(takers) == 4
    converted = in_precision(graphs["face_detector"], Precision.fp16, takers)
    assert sum(node.op_type == "Cast" and node.output[0] == "256" for node in converted.graph.node) == 1
    assert answers(converted, crops["face_detector"])["BOXES"].shape == (3, 1024, 4)


@pytest.mark.parametrize(("model", "casts"), [("minifasnet_v2", 2), ("minifasnet_v1se", 2), ("face_recognizer", 3)])
def test_there_is_one_cast_where_the_precision_changes(graphs: Graphs, model: str, casts: int) -> None:
    """Bytes to FP16 at once where nothing is subtracted from them, and to FP32 at the end."""
    converted = in_precision(graphs[model], Precision.fp16, ())
    assert sum(node.op_type == "Cast" for node in converted.graph.node) == casts


def test_a_rehearsal_shows_what_fp16_cannot_hold_and_a_cpu_hides() -> None:
    """255 * 400 is beyond FP16."""
    graph = made(
        conv("big", "pixels", "much"),
        conv("small", "much", "values"),
        **{"big.weight": scaling(400), "small.weight": scaling(1 / 400)},
    )
    white = np.full((1, 8, 8, 3), 255, dtype=np.uint8)
    half = in_precision(graph, Precision.fp16, ())
    assert np.isfinite(answers(half, white)["EMBEDDINGS"]).all()
    assert not np.isfinite(answers(rehearsed(half), white)["EMBEDDINGS"]).any()
    worst = sensitivity(graph, (), white)
    assert {error.node for error in worst if error.difference == np.inf} == {"big", "small"}
    kept = in_precision(graph, Precision.fp16, ("big", "small"))
    assert answers(rehearsed(kept), white)["EMBEDDINGS"] == pytest.approx(255)


@pytest.mark.parametrize("precision", Precision)
def test_a_name_that_no_node_has_is_refused_with_the_nearest(graphs: Graphs, precision: Precision) -> None:
    told = r"^keep_fp32: face_detector has no node 'Conv_1'; the nearest are Conv_\d+, Conv_\d+, Conv_\d+$"
    with pytest.raises(GraphError, match=told):
        in_precision(graphs["face_detector"], precision, ("Conv_0", "Conv_1"))
    with pytest.raises(GraphError, match=told):
        sensitivity(graphs["face_detector"], ("Conv_1",), NO_CROPS)


def test_a_node_without_a_name_goes_by_its_first_outputs() -> None:
    graph = made(conv("only", "pixels", "values"), **{"only.weight": scaling(1)})
    next(node for node in graph.graph.node if node.name == "only").ClearField("name")
    kept = in_precision(graph, Precision.fp16, ("values",))
    assert constants(kept)["only.weight"].dtype == np.float32
    (error,) = sensitivity(graph, (), np.full((1, 8, 8, 3), 9, dtype=np.uint8))
    assert error.node == "values"


CONVERT = """
import hashlib, sys
import onnx
from facegate.build.precision.half import in_precision
from facegate.build.target import Precision
KEPT = ["/linear/MatMul", *(f"/stage3/model/model.{i}/Add" for i in range(6))]  # sums take two values each
for precision in Precision:
    converted = in_precision(onnx.load(sys.argv[1]), precision, KEPT)
    print(hashlib.sha256(converted.SerializeToString()).hexdigest())
"""


def test_the_same_net_becomes_the_same_bytes_in_every_process(repository: Path) -> None:
    command = [sys.executable, "-c", CONVERT, str(repository / "minifasnet_v2" / "1" / "model.onnx")]
    digests = {
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(digests) == 1
    assert len(set(digests.pop().split())) == len(Precision)
