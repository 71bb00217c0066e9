"""Served graphs of tiny nets made here: bytes in, any batch, normalised as the pack says, or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facegate.build.graphs.served import served_graph
from facegate.build.graphs.source import SERVED_OPSET
from facegate.errors import GraphError
from facegate.packs.pack_file import PackFile

SIDE, KERNEL, WIDTH = 16, 8, 8  # pixels, pixels, embedding values
RNG = np.random.default_rng(7)
WEIGHTS = RNG.normal(size=(2, 3, KERNEL, KERNEL)).astype(np.float32)
PICTURES = RNG.integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
FEEDS = [
    pytest.param("BGR", (0, 0, 0), (1, 1, 1), id="as it is"),
    pytest.param("RGB", (0, 0, 0), (1, 1, 1), id="colours turned round"),
    pytest.param("BGR", (104, 117, 123), (1, 1, 1), id="mean"),
    pytest.param("BGR", (0, 0, 0), (255, 128, 64), id="std"),
    pytest.param("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), id="all three"),
]


def net(
    *,
    shape: tuple[int | str, ...] = (1, 3, SIDE, SIDE),
    target: tuple[int, ...] = (1, WIDTH),
    constant: str = "initializer",
    opset: int = 12,
    ir_version: int = 8,
    width: int = WIDTH,
) -> onnx.ModelProto:
    """A published recognizer: a convolution of four windows to two values each, with its batch of one baked in."""
    values = np.array(target, dtype=np.int64)
    initializers = [numpy_helper.from_array(WEIGHTS, "w")]
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[KERNEL] * 2, strides=[KERNEL] * 2)]
    if constant == "initializer":
        initializers.append(numpy_helper.from_array(values, "t"))
    elif constant == "node":
        nodes.append(helper.make_node("Constant", [], ["t"], value=numpy_helper.from_array(values)))
    else:
        nodes.append(helper.make_node("Constant", [], ["t"], value_ints=list(target)))
    nodes.append(helper.make_node("Reshape", ["c", "t"], ["y"]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    if ir_version < 4:  # initializers were inputs with a default then
        inputs += [helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in initializers]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, width])
    graph = helper.make_graph(nodes, "tiny", inputs, [output], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def fed(pack: PackFile, model: str = "face_recognizer", **changes: Any) -> PackFile:
    """The default pack with tiny nets for recognition and for liveness."""
    values = pack.model_dump(mode="json")
    plain = {"height": SIDE, "width": SIDE, "colour": "BGR", "mean": (0, 0, 0), "std": (1, 1, 1)}
    template = [(x * SIDE / 112, y * SIDE / 112) for x, y in pack.recognizer.template]
    values["recognizer"] |= plain | {"dimension": WIDTH, "template": template}
    values["liveness"]["nets"][0] |= plain
    section = values["recognizer"] if model == "face_recognizer" else values["liveness"]["nets"][0]
    section |= changes
    return PackFile.model_validate(values)


def run(graph: onnx.ModelProto, name: str, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (values,) = session.run(None, {name: batch})
    return values


def windows(
    picture: NDArray[np.uint8], colour: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> NDArray[np.float64]:
    """What the convolution answers for one picture, by hand: FP64 [WIDTH]."""
    pixels = picture[:, :, ::-1] if colour == "RGB" else picture
    planes = ((pixels.astype(np.float64) - mean) / std).transpose(2, 0, 1)
    corners = [(top, left) for top in (0, KERNEL) for left in (0, KERNEL)]
    answers = [(planes[:, y : y + KERNEL, x : x + KERNEL] * WEIGHTS).sum(axis=(1, 2, 3)) for y, x in corners]
    return np.array(answers).T.ravel()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(net(), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_a_served_graph_takes_bytes_as_they_lie_in_an_image_and_any_batch(pack: PackFile, path: Path) -> None:
    graph = served_graph(fed(pack), "face_recognizer", path)
    (taken,), (given,) = graph.graph.input, graph.graph.output
    assert (taken.name, taken.type.tensor_type.elem_type) == ("FACES", TensorProto.UINT8)
    assert [dim.dim_param or dim.dim_value for dim in taken.type.tensor_type.shape.dim] == ["B", SIDE, SIDE, 3]
    assert (given.name, given.type.tensor_type.elem_type) == ("EMBEDDINGS", TensorProto.FLOAT)
    assert [dim.dim_param or dim.dim_value for dim in given.type.tensor_type.shape.dim] == ["B", WIDTH]
    assert graph.opset_import[0].version == SERVED_OPSET


@pytest.mark.parametrize(("colour", "mean", "std"), FEEDS)
def test_a_recognizer_is_fed_as_by_hand_and_its_embedding_has_length_one(
    pack: PackFile, path: Path, colour: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    graph = served_graph(fed(pack, colour=colour, mean=mean, std=std), "face_recognizer", path)
    for picture, served in zip(PICTURES, run(graph, "FACES", PICTURES), strict=True):
        raw = windows(picture, colour, mean, std)
        np.testing.assert_allclose(served, raw / np.linalg.norm(raw), atol=2e-6)


@pytest.mark.parametrize(
    ("constant", "target"),
    [
        pytest.param("initializer", (1, WIDTH), id="[1, D]"),
        pytest.param("node", (1, WIDTH), id="[1, D] in a node"),
        pytest.param("initializer", (1, -1), id="[1, -1]"),
        pytest.param("initializer", (-1, WIDTH), id="[-1, D]"),
        pytest.param("ints", (1, WIDTH), id="[1, D] in a node as plain integers"),
    ],
)
def test_a_batch_answers_what_singles_do_however_the_net_baked_in_a_batch_of_one(
    pack: PackFile, tmp_path: Path, constant: str, target: tuple[int, ...]
) -> None:
    onnx.save(net(constant=constant, target=target), tmp_path / "net.onnx")
    graph = served_graph(fed(pack), "face_recognizer", tmp_path / "net.onnx")
    singles = np.concatenate([run(graph, "FACES", picture[None]) for picture in PICTURES])
    np.testing.assert_allclose(run(graph, "FACES", PICTURES), singles, atol=1e-6)
    assert len(np.unique(singles.round(4), axis=0)) == len(PICTURES)


def test_a_picture_that_a_recognizer_answers_with_zeros_has_a_finite_embedding(pack: PackFile, path: Path) -> None:
    graph = served_graph(fed(pack), "face_recognizer", path)
    assert run(graph, "FACES", np.zeros((1, SIDE, SIDE, 3), dtype=np.uint8)).tolist() == [[0.0] * WIDTH]


def test_a_liveness_net_answers_probabilities_that_no_logit_overflows(pack: PackFile, tmp_path: Path) -> None:
    model = net(target=(1, -1))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(RNG.normal(size=(3, 3, SIDE, SIDE)).astype("f4"), "w"))
    del model.graph.node[0].attribute[:]
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    onnx.save(model, tmp_path / "net.onnx")
    graph = served_graph(fed(pack, "minifasnet_v2"), "minifasnet_v2", tmp_path / "net.onnx")
    probabilities = run(graph, "CROPS", PICTURES)  # the logits are in the thousands
    assert probabilities.shape == (len(PICTURES), 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("opset", [9, 13, 17, 18])
def test_a_net_of_an_older_opset_is_served_in_ours(pack: PackFile, tmp_path: Path, opset: int) -> None:
    onnx.save(net(opset=opset), tmp_path / "net.onnx")
    graph = served_graph(fed(pack), "face_recognizer", tmp_path / "net.onnx")
    assert [used.version for used in graph.opset_import] == [SERVED_OPSET]
    assert run(graph, "FACES", PICTURES).shape == (len(PICTURES), WIDTH)


def test_a_net_of_onnx_before_its_fourth_version_is_served(pack: PackFile, tmp_path: Path) -> None:
    onnx.save(net(ir_version=3, opset=9), tmp_path / "net.onnx")
    graph = served_graph(fed(pack), "face_recognizer", tmp_path / "net.onnx")
    assert run(graph, "FACES", PICTURES).shape == (len(PICTURES), WIDTH)


@pytest.mark.parametrize(
    ("shape", "pack_says", "reason"),
    [
        pytest.param((1, 3, SIDE, 24), {}, "takes 16x24, the pack says 16x16", id="another width"),
        pytest.param((1, 3, 24, SIDE), {}, "takes 24x16, the pack says 16x16", id="another height"),
        pytest.param((1, 3, SIDE, SIDE), {"height": 32}, "takes 16x16, the pack says 32x16", id="another pack"),
        pytest.param((1, 1, SIDE, SIDE), {}, "expected one input of shape", id="grey"),
        pytest.param((1, SIDE, SIDE, 3), {}, "expected one input of shape", id="channels last"),
        pytest.param((3, SIDE, SIDE), {}, "expected one input of shape", id="no batch"),
        pytest.param(("N", 3, "H", "W"), {"dimension": WIDTH + 1}, "answers 8 values", id="another dimension"),
    ],
)
def test_a_net_that_contradicts_its_pack_is_refused_in_one_line(
    pack: PackFile, tmp_path: Path, shape: tuple[int | str, ...], pack_says: dict[str, int], reason: str
) -> None:
    onnx.save(net(shape=shape), tmp_path / "net.onnx")
    with pytest.raises(GraphError) as refusal:
        served_graph(fed(pack, **pack_says), "face_recognizer", tmp_path / "net.onnx")
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<!DOCTYPE html><html>404</html>", id="a web page"),
        pytest.param(net().SerializeToString()[:-100], id="cut short"),
        pytest.param(bytes(1000), id="zeros"),
        pytest.param(net().SerializeToString().replace(b"Conv", b"Xonv"), id="an operator that there is not"),
        pytest.param(None, id="missing"),
    ],
)
def test_a_file_that_is_no_graph_is_refused_in_one_line_that_names_it(
    pack: PackFile, tmp_path: Path, data: bytes | None
) -> None:
    if data is not None:
        (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(GraphError, match=r"^net\.onnx: not a usable ONNX graph: ") as refusal:
        served_graph(fed(pack), "face_recognizer", tmp_path / "net.onnx")
    assert "\n" not in str(refusal.value)


def test_a_net_without_an_input_is_refused(pack: PackFile, tmp_path: Path) -> None:
    model = net()
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3, SIDE, SIDE), np.float32), "x"))
    del model.graph.input[:]
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(GraphError, match="expected one input"):
        served_graph(fed(pack), "face_recognizer", tmp_path / "net.onnx")


@pytest.mark.parametrize("model", ["face_detector", "minifasnet_v2"])
def test_a_net_of_another_kind_is_refused_in_one_line(pack: PackFile, path: Path, model: str) -> None:
    pack = fed(pack)
    pack = pack.model_copy(update={"detector": pack.detector.model_copy(update={"height": SIDE, "width": SIDE})})
    with pytest.raises(GraphError) as refusal:
        served_graph(pack, model, path)
    assert "\n" not in str(refusal.value)
