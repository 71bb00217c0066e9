"""Served graphs written for a CPU: they answer the same, and what cannot be written otherwise stays as it is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facegate.build.graphs import cpu
from facegate.build.graphs.cpu import BLOCK, for_cpu
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.runtime.onnx.session import CPU, CUDA, graph_for

NETS = ("face_detector", "face_detector_256x256", "face_recognizer", "minifasnet_v2", "minifasnet_v1se")
LIVENESS = NETS[3:]
SIDE = 8  # pixels of the nets made here
RNG = np.random.default_rng(11)
PICTURES = RNG.normal(size=(3, 3, SIDE, SIDE)).astype(np.float32)

Answers = dict[str, NDArray[Any]]


def answers(model: onnx.ModelProto, batch: NDArray[Any], *, optimised: bool = True) -> Answers:
    """Every output by name, of ONNX Runtime with all it does for a CPU, or with nothing of that."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: batch}), strict=True))


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def groups(model: onnx.ModelProto) -> list[int]:
    """Of the convolutions of several groups, how many."""
    found = [a.i for node in model.graph.node if node.op_type == "Conv" for a in node.attribute if a.name == "group"]
    return [group for group in found if group > 1]


def require_same(model: onnx.ModelProto, batch: NDArray[Any] = PICTURES) -> onnx.ModelProto:
    """What for_cpu makes of `model`, which stays as it was and is answered the same."""
    before = model.SerializeToString(deterministic=True)
    made = for_cpu(model)
    assert model.SerializeToString(deterministic=True) == before
    expected = answers(model, batch, optimised=False)
    for optimised in (False, True):
        found = answers(made, batch, optimised=optimised)
        assert list(found) == list(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5)
    return made


def ordered_as(expected: Answers, found: Answers) -> Answers:
    """The candidates of `found` in the order of `expected`'s, by their boxes: rounding may swap two of equal scores.

    What is noise in both, the last of them perhaps, is taken from `expected`.
    """
    ordered = {name: values.copy() for name, values in expected.items()}
    for row, boxes in enumerate(expected["BOXES"]):
        nearest = np.abs(boxes[:, None] - found["BOXES"][row][None]).max(axis=2).argmin(axis=1)
        kept = expected["SCORES"][row] > expected["SCORES"][row].min() + 1e-4
        assert kept.sum() > 20
        for name, values in found.items():
            ordered[name][row][kept] = values[row][nearest[kept]]
    return ordered


# The nets of the default pack.


@pytest.fixture(scope="module")
def served(repository: Path) -> dict[str, onnx.ModelProto]:
    return {net: onnx.load(repository / net / "1" / "model.onnx") for net in NETS}


@pytest.fixture(scope="module")
def written(served: dict[str, onnx.ModelProto]) -> dict[str, onnx.ModelProto]:
    return {net: for_cpu(graph) for net, graph in served.items()}


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("net", NETS)
def test_a_net_of_the_default_pack_answers_what_its_served_graph_does(
    served: dict[str, onnx.ModelProto], written: dict[str, onnx.ModelProto], net: str, rows: int
) -> None:
    shape = [each.dim_value for each in served[net].graph.input[0].type.tensor_type.shape.dim[1:]]
    crops = RNG.integers(0, 256, (rows, *shape), dtype=np.uint8)
    expected, found = answers(served[net], crops), answers(written[net], crops)
    assert list(found) == list(expected)
    if "BOXES" in expected:
        found = ordered_as(expected, found)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        most = max(1.0, float(np.abs(values).max()))  # of a picture's 640 pixels, or of 1
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5 * most)


@pytest.mark.parametrize("net", LIVENESS)
def test_nothing_in_a_minifasnet_leaves_the_blocked_layout(
    served: dict[str, onnx.ModelProto], written: dict[str, onnx.ModelProto], net: str
) -> None:
    assert operators(served[net])["PRelu"]
    assert any(group % BLOCK for group in groups(served[net]))
    assert not operators(written[net])["PRelu"]
    assert not any(group % BLOCK for group in groups(written[net]))


@pytest.mark.parametrize("net", NETS)
def test_inputs_outputs_and_what_the_graph_says_of_itself_stay(
    served: dict[str, onnx.ModelProto], written: dict[str, onnx.ModelProto], net: str
) -> None:
    one, other = served[net], written[net]
    assert list(other.graph.input) == list(one.graph.input)
    assert list(other.graph.output) == list(one.graph.output)
    assert list(other.opset_import) == list(one.opset_import)
    assert (other.ir_version, other.graph.name) == (one.ir_version, one.graph.name)
    taken = {name for node in other.graph.node for name in node.input}
    assert {each.name for each in other.graph.initializer} <= taken


def test_the_same_graph_is_written_the_same_every_time(served: dict[str, onnx.ModelProto]) -> None:
    one, other = (for_cpu(served["minifasnet_v2"]).SerializeToString(deterministic=True) for _ in range(2))
    assert one == other


# Which of a net's files is opened.


def test_each_provider_has_its_own_where_they_differ(repository: Path, tmp_path: Path) -> None:
    for net in NETS:
        folder = repository / net / "1"
        own = "model.onnx" if net == "face_recognizer" else "cpu.onnx"
        assert graph_for(folder, CPU) == folder / own
        assert graph_for(folder, CUDA) == folder / "model.onnx"
        assert (folder / "cpu.onnx").is_file() == (own == "cpu.onnx")
    (tmp_path / "model.onnx").touch()
    assert graph_for(tmp_path, CPU) == graph_for(tmp_path, CUDA) == tmp_path / "model.onnx"


def test_a_repository_without_the_ones_for_a_cpu_answers_the_same(pack: Any, repository: Path, tmp_path: Path) -> None:
    for net in NETS:
        (tmp_path / net / "1").mkdir(parents=True)
        (tmp_path / net / "1" / "model.onnx").symlink_to(repository / net / "1" / "model.onnx")
    crops = RNG.integers(0, 256, (3, 80, 80, 3), dtype=np.uint8)
    one, other = (
        OnnxInferer(folder, pack.nets).infer("minifasnet_v2", crops)["PROBABILITIES"]
        for folder in (repository, tmp_path)
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


# Large pictures.


def pictured(*more: onnx.NodeProto, height: int = 256, width: int = 256, **attributes: Any) -> onnx.ModelProto:
    """A convolution of pictures, UINT8 [B, height, width, 3], to "c", and `more` to "y"."""
    group, kernel = attributes.get("group", 1), attributes.pop("kernel", (3, 3))
    nodes = [
        helper.make_node("Cast", ["FACES"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "w", "b"], ["c"], **attributes),
        *(more or [helper.make_node("Relu", ["c"], ["y"])]),
    ]
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("FACES", TensorProto.UINT8, ["B", height, width, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(some(6, 3 // group, *kernel) / 64, "w"), numpy_helper.from_array(some(6), "b")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def bytes_of(height: int = 256, width: int = 256) -> NDArray[np.uint8]:
    return RNG.integers(0, 256, (2, height, width, 3), dtype=np.uint8)


@given(
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    strides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
)
@settings(deadline=None, max_examples=20)
def test_a_large_picture_is_read_as_it_lies(
    kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, int, int, int]
) -> None:
    height, width = 240, 300
    one = pictured(height=height, width=width, kernel=kernel, strides=strides, pads=pads)
    made = require_same(one, bytes_of(height, width))
    assert not operators(made)["Transpose"]


def test_of_a_convolution_that_says_nothing_of_its_steps_too() -> None:
    assert not operators(require_same(pictured(), bytes_of()))["Transpose"]


def test_a_small_picture_is_sorted_by_colour_first() -> None:
    assert operators(require_same(pictured(height=80, width=80), bytes_of(80, 80)))["Transpose"] == 1


@pytest.mark.parametrize("attributes", [{"dilations": [2, 1]}, {"auto_pad": "SAME_UPPER"}, {"group": 3}], ids=str)
def test_a_convolution_that_cannot_be_widened_stays(attributes: dict[str, Any]) -> None:
    made = require_same(pictured(**attributes), bytes_of())
    assert operators(made)["Transpose"] == 1


def test_a_picture_that_another_reads_too_is_still_there_for_it() -> None:
    """The stem of a net in two branches."""
    other = helper.make_node("ReduceMean", ["planes"], ["mean"], axes=[1, 2, 3], keepdims=1)
    sums = helper.make_node("Add", ["c", "mean"], ["y"])
    assert operators(require_same(pictured(other, sums), bytes_of()))["Transpose"] == 1


# Nets made here.


def conv(source: str, given: str, weights: str, bias: str = "", *, group: int = 1, kernel: int = 1) -> onnx.NodeProto:
    inputs = [source, weights, *([bias] if bias else [])]
    pads = [kernel // 2] * 4
    return helper.make_node("Conv", inputs, [given], group=group, kernel_shape=[kernel] * 2, pads=pads)


def prelu(source: str, given: str, slope: str) -> onnx.NodeProto:
    return helper.make_node("PRelu", [source, slope], [given])


def model(*nodes: onnx.NodeProto, outputs: tuple[str, ...] = ("y",), **constants: NDArray[Any]) -> onnx.ModelProto:
    """From "x", FP32 [B, 3, SIDE, SIDE], to `outputs` of any shape."""
    graph = helper.make_graph(
        list(nodes),
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def some(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(size=shape).astype(np.float32) / 2


def slopes(channels: int) -> NDArray[np.float32]:
    return RNG.uniform(-1, 1, (channels, 1, 1)).astype(np.float32)


def bottleneck(channels: int = 13, **changed: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The constants of `body`."""
    return {
        "w1": some(channels, 3, 1, 1),
        "b1": some(channels),
        "s1": slopes(channels),
        "w2": some(channels, 1, 3, 3),
        "b2": some(channels),
        "s2": slopes(channels),
        "w3": some(5, channels, 1, 1),
        "b3": some(5),
    } | changed


def body(channels: int = 13, given: str = "y") -> list[onnx.NodeProto]:
    """A convolution, one of each channel by itself and another, with PRelus in between."""
    return [
        conv("x", "c1", "w1", "b1"),
        prelu("c1", "p1", "s1"),
        conv("p1", "c2", "w2", "b2", group=channels, kernel=3),
        prelu("c2", "p2", "s2"),
        conv("p2", given, "w3", "b3"),
    ]


@given(channels=st.integers(2, 40), before=st.booleans(), after=st.booleans(), biases=st.tuples(*[st.booleans()] * 3))
@settings(deadline=None, max_examples=30)
def test_depthwise_convolutions_of_any_width_become_whole_blocks(
    channels: int, before: bool, after: bool, biases: tuple[bool, bool, bool]
) -> None:
    b1, b2, b3 = (f"b{number + 1}" if there else "" for number, there in enumerate(biases))
    nodes = [
        conv("x", "c1", "w1", b1),
        *([prelu("c1", "p1", "s1")] if before else []),
        conv("p1" if before else "c1", "c2", "w2", b2, group=channels, kernel=3),
        *([prelu("c2", "p2", "s2")] if after else []),
        conv("p2" if after else "c2", "y", "w3", b3),
    ]
    made = require_same(model(*nodes, **bottleneck(channels)))
    assert not operators(made)["PRelu"]
    assert not any(group % BLOCK for group in groups(made))


def test_two_in_a_row_become_whole_blocks_each() -> None:
    second = [
        conv("m", "d1", "v1"),
        conv("d1", "d2", "v2", group=7, kernel=3),
        prelu("d2", "q2", "t2"),
        conv("q2", "y", "v3"),
    ]
    more = {"v1": some(7, 5, 1, 1), "v2": some(7, 1, 3, 3), "t2": slopes(7), "v3": some(2, 7, 1, 1)}
    made = require_same(model(*body(given="m"), *second, **bottleneck(), **more))
    assert not any(group % BLOCK for group in groups(made))


@pytest.mark.parametrize(("highest", "left"), [(1.0, 0), (1.001, 2)])
def test_a_prelu_with_a_slope_over_one_stays(highest: float, left: int) -> None:
    steep = {name: np.array([*slopes(12), [[highest]]], dtype=np.float32) for name in ("s1", "s2")}
    assert operators(require_same(model(*body(), **bottleneck(**steep))))["PRelu"] == left


@pytest.mark.parametrize("shape", [(1, 1, 1), (1,), (), (1, 13, 1, 1), (1, SIDE, SIDE), (13, SIDE, SIDE)], ids=str)
def test_a_prelu_whose_slope_is_not_one_of_each_channel_stays(shape: tuple[int, ...]) -> None:
    shared = RNG.uniform(-1, 1, shape).astype(np.float32)
    made = require_same(model(*body(), **bottleneck(s1=shared, s2=shared)))
    assert operators(made)["PRelu"] == 2


def test_a_shared_slope_of_a_plain_convolution_stays() -> None:
    made = require_same(
        model(conv("x", "c", "w"), prelu("c", "y", "s"), w=some(5, 3, 1, 1), s=np.full((1, 1, 1), 0.25, np.float32))
    )
    assert operators(made)["PRelu"] == 1


def test_a_prelu_whose_slope_is_no_constant_stays() -> None:
    nodes = [helper.make_node("Mul", ["half", "s"], ["s1"]), *body()]
    constants = bottleneck(half=np.array(0.5, np.float32), s=slopes(13))
    del constants["s1"]
    made = require_same(model(*nodes, **constants))
    assert operators(made)["PRelu"] == 1
    assert groups(made)[0] == 13


def test_a_prelu_that_follows_no_convolution_stays() -> None:
    made = require_same(
        model(
            helper.make_node("Add", ["x", "x"], ["a"]),
            prelu("a", "p", "s"),
            conv("p", "y", "w"),
            s=slopes(3),
            w=some(5, 3, 1, 1),
        )
    )
    assert operators(made)["PRelu"] == 1


@pytest.mark.parametrize("shared", ["c1", "p1", "c2", "p2"])
def test_a_depthwise_convolution_between_which_another_reads_stays_as_wide(shared: str) -> None:
    reads = helper.make_node("ReduceMean", [shared], ["mean"], axes=[1], keepdims=1)
    sums = helper.make_node("Add", ["m", "mean"], ["y"])
    made = require_same(model(*body(given="m"), reads, sums, **bottleneck()))
    assert 13 in groups(made)
    assert BLOCK not in groups(made)


@pytest.mark.parametrize("shown", ["c1", "p1", "c2", "p2"])
def test_a_depthwise_convolution_between_which_an_answer_is_taken_stays_as_wide(shown: str) -> None:
    made = require_same(model(*body(), outputs=("y", shown), **bottleneck()))
    assert BLOCK not in groups(made)


def test_a_value_that_a_branch_reads_stays_as_wide() -> None:
    def branch(name: str) -> onnx.GraphProto:
        node = helper.make_node("ReduceMean", ["p1"], [name], axes=[1], keepdims=1)
        return helper.make_graph([node], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)])

    chosen = helper.make_node("If", ["yes"], ["mean"], then_branch=branch("then"), else_branch=branch("else"))
    sums = helper.make_node("Add", ["m", "mean"], ["y"])
    require_same(model(*body(given="m"), chosen, sums, **bottleneck(yes=np.array(True))))


def test_constants_of_two_nodes_stay_as_they_are() -> None:
    second = [conv("x", "d1", "v1"), conv("d1", "d2", "w2", "b2", group=13, kernel=3), conv("d2", "n", "v3")]
    more = {"v1": some(13, 3, 1, 1), "v3": some(5, 13, 1, 1)}
    sums = helper.make_node("Add", ["m", "n"], ["y"])
    made = require_same(model(*body(given="m"), *second, sums, **bottleneck(), **more))
    assert groups(made).count(13) >= 2


def test_a_slope_of_two_prelus_is_split_for_each() -> None:
    constants = bottleneck()
    nodes = body()
    nodes[3] = prelu("c2", "p2", "s1")
    del constants["s2"]
    assert not operators(require_same(model(*nodes, **constants)))["PRelu"]


def test_groups_that_are_not_a_channel_each_stay() -> None:
    nodes = [conv("x", "c1", "w1"), conv("c1", "c2", "w2", group=3), conv("c2", "y", "w3")]
    made = require_same(model(*nodes, w1=some(6, 3, 1, 1), w2=some(9, 2, 1, 1), w3=some(4, 9, 1, 1)))
    assert groups(made) == [3]


def test_a_depthwise_convolution_that_begins_or_ends_a_net_stays() -> None:
    made = require_same(model(conv("x", "y", "w", group=3, kernel=3), w=some(3, 1, 3, 3)))
    assert groups(made) == [3]


def test_a_net_of_half_floats_is_written_too() -> None:
    halves = {name: values.astype(np.float16) for name, values in bottleneck().items()}
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        conv("h", *list(body()[0].output), *list(body()[0].input[1:])),
        *body(given="z")[1:],
        helper.make_node("Cast", ["z"], ["y"], to=TensorProto.FLOAT),
    ]
    one = model(*nodes, **halves)
    np.testing.assert_allclose(answers(for_cpu(one), PICTURES)["y"], answers(one, PICTURES)["y"], rtol=0.02, atol=0.02)


def test_a_graph_that_cannot_be_written_for_a_cpu_is_named_and_left_out(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: onnx.ModelProto) -> onnx.ModelProto:
        raise onnx.checker.ValidationError("no such operator\nmore of it")

    monkeypatch.setattr(cpu, "for_cpu", fail)
    said: list[str] = []
    served = {"minifasnet_v2": onnx.load(repository / "minifasnet_v2" / "1" / "model.onnx")}
    assert cpu.cpu_graphs(served, said.append) == {}
    assert len(said) == 1 and said[0].startswith("minifasnet_v2: ") and said[0].endswith("no such operator")
