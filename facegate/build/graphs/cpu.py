"""A served graph written so that ONNX Runtime keeps its blocked layout on a CPU; it answers the same.

ONNX Runtime's CPU kernels are fastest on channels in blocks (NCHWc, onnxruntime/core/optimizer/nchwc_transformer.cc),
into which and out of which it reorders around every operator that has no blocked kernel. Two things in the nets have
none: a PRelu, and a depthwise convolution whose channels are not whole blocks. Together they were four fifths of a
MiniFASNet's time. What each change was expected to do and did is in docs/performance.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from facegate.build.graphs.builder import Builder, subgraphs, used
from facegate.build.graphs.source import first_line

BLOCK = 16
"""Channels of a block with AVX-512; AVX2's 8 divide it."""

LARGE = 1 << 16
"""Pixels of a picture that does not stay in a core's caches as floats."""


def cpu_graphs(graphs: Mapping[str, onnx.ModelProto], say: Callable[[str], None]) -> dict[str, onnx.ModelProto]:
    """Those of the served `graphs`, by model name, that a CPU is given another way. One that cannot be written so is
    named, and served as it is."""
    written = {}
    for model, graph in graphs.items():
        try:
            another = for_cpu(graph)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            say(f"{model}: is run on a CPU as it is, since written for one it does not check: {first_line(error)}")
            continue
        if another.graph.node != graph.graph.node:
            written[model] = another
    return written


def for_cpu(served: onnx.ModelProto) -> onnx.ModelProto:
    """`served`, unchanged itself, as ONNX Runtime runs it fastest on a CPU.

    A net with branches or loops stays as it is: what happens in them is not looked into.
    """
    model = onnx.ModelProto()
    model.CopyFrom(served)
    if any(True for _ in subgraphs(model.graph)):
        return model
    del model.graph.value_info[:]
    _Whole(model.graph).make()
    _split_prelus(Builder(model.graph))
    _read_in_place(Builder(model.graph))
    _drop_unused(model.graph)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Whole:
    """Makes the channels of depthwise convolutions whole blocks, by channels of zeros that nothing reads."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {each.name: each for each in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._users: Mapping[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self._users[name].append(node)
        self._outputs = {value.name for value in graph.output}

    def make(self) -> None:
        for node in self._graph.node:
            group = _group(node)
            if node.op_type == "Conv" and group > 1 and group % BLOCK:
                self._widen(node, group)

    def _widen(self, depthwise: onnx.NodeProto, channels: int) -> None:
        """Only between two plain convolutions, with nothing but PRelus in between: there the new channels begin and
        end."""
        chain = self._chain(depthwise)
        if chain is None:
            return
        first, prelus, last = chain
        more = -channels % BLOCK
        if any(_dims(self._constants, prelu.input[1]) != [channels, 1, 1] for prelu in prelus):
            return
        for node, axis in ((first, 0), (depthwise, 0), (last, 1)):
            if _dims(self._constants, node.input[1])[axis] != channels:
                return
        if not self._are_own([*first.input[1:], *depthwise.input[1:], last.input[1], *(p.input[1] for p in prelus)]):
            return
        for node in (first, depthwise):
            for name in node.input[1:]:
                self._pad(name, 0, more)
        for prelu in prelus:
            self._pad(prelu.input[1], 0, more)
        self._pad(last.input[1], 1, more)
        for attribute in depthwise.attribute:
            if attribute.name == "group":
                attribute.i = channels + more

    def _chain(self, depthwise: onnx.NodeProto) -> tuple[onnx.NodeProto, list[onnx.NodeProto], onnx.NodeProto] | None:
        before, prelus = self._makers.get(depthwise.input[0]), []
        if before is not None and before.op_type == "PRelu":
            prelus.append(before)
            before = self._makers.get(before.input[0])
        after = self._only_user(depthwise)
        if after is not None and after.op_type == "PRelu":
            prelus.append(after)
            after = self._only_user(after)
        if before is None or after is None or not (_is_plain(before) and _is_plain(after)):
            return None
        alone = all(self._only_user(node) is not None for node in (before, *prelus))
        return (before, prelus, after) if alone else None

    def _only_user(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        users = self._users[node.output[0]]
        return users[0] if len(users) == 1 and node.output[0] not in self._outputs else None

    def _are_own(self, names: list[str]) -> bool:
        """Whether each is a constant that no other node has: a shared one cannot be widened for one of its users."""
        return all(name in self._constants and len(self._users[name]) == 1 for name in names)

    def _pad(self, name: str, axis: int, more: int) -> None:
        constant = self._constants[name]
        values = numpy_helper.to_array(constant)
        widths = [(0, more if each == axis else 0) for each in range(values.ndim)]
        constant.CopyFrom(numpy_helper.from_array(np.pad(values, widths), name))


def _split_prelus(build: Builder) -> None:
    """With a slope s of at most 1 for each channel: prelu(x) = relu((1 - s) x) + s x, where both products are depthwise
    convolutions of 1 x 1, which have blocked kernels, the first with the relu and the second with the sum in it."""
    constants = {each.name: numpy_helper.to_array(each) for each in build.graph.initializer}
    convolved = {
        node.output[0]: len(constants[node.input[1]])
        for node in build.graph.node
        if node.op_type == "Conv" and node.input[1] in constants
    }
    body = list(build.graph.node)
    del build.graph.node[:]
    for node in body:
        channels = convolved.get(node.input[0], 0) if node.op_type == "PRelu" else 0
        slopes = constants.get(node.input[1]) if channels else None
        if slopes is None or slopes.shape != (channels, 1, 1) or slopes.dtype != np.float32 or not (slopes <= 1).all():
            build.graph.node.append(node)
            continue
        bent = build.node("Relu", _scaled(build, node.input[0], np.float32(1) - slopes))
        straight = _scaled(build, node.input[0], slopes)
        build.graph.node.append(helper.make_node("Add", [straight, bent], list(node.output), name=node.name))


def _scaled(build: Builder, value: str, factors: NDArray[np.float32]) -> str:
    """`value` [B, C, H, W] times `factors` [C, 1, 1]."""
    weights = build.constant(factors[:, None])
    return build.node("Conv", value, weights, group=len(factors), kernel_shape=[1, 1])


def _read_in_place(build: Builder) -> None:
    """Let the first convolution of a large picture take its pixels as they lie, [B, H, W, 3] read as one channel of
    3 W columns, so that they need not be sorted by colour first: its kernel and its steps are three times as wide.

    Small pictures stay in the caches while they are sorted, and the convolution of three channels is the faster one.
    """
    graph = build.graph
    if len(graph.node) < 3 or [node.op_type for node in graph.node[:3]] != ["Cast", "Transpose", "Conv"]:
        return
    cast, transpose, convolution = graph.node[:3]
    sorted_pixels = transpose.output[0]
    readers = [name for node in graph.node for name in node.input].count(sorted_pixels)
    readers += [value.name for value in graph.output].count(sorted_pixels)
    if readers != 1 or convolution.input[0] != sorted_pixels or _perm(transpose) != [0, 3, 1, 2]:
        return
    height, width = (dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim[1:3])
    weights = next((each for each in graph.initializer if each.name == convolution.input[1]), None)
    given = {each.name: helper.get_attribute_value(each) for each in convolution.attribute}
    simple = given.get("group", 1) == 1 and set(given.get("dilations", [1])) == {1} and "auto_pad" not in given
    if height * width < LARGE or weights is None or not simple or list(transpose.input) != list(cast.output):
        return
    kernel = numpy_helper.to_array(weights)
    rows, columns = kernel.shape[2:]
    top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
    down, across = given.get("strides", [1, 1])
    flat = kernel.transpose(0, 2, 3, 1).reshape(len(kernel), 1, rows, 3 * columns)
    body = list(graph.node[3:])
    del graph.node[1:]
    lines = build.node("Reshape", cast.output[0], build.constant([0, 1, height, 3 * width], np.int64))
    read = [lines, build.constant(flat), *convolution.input[2:]]
    graph.node.append(
        helper.make_node(
            "Conv",
            read,
            list(convolution.output),
            name=convolution.name,
            kernel_shape=[rows, 3 * columns],
            strides=[down, 3 * across],
            pads=[top, 3 * left, bottom, 3 * right],
        )
    )
    graph.node.extend(body)


def _perm(transpose: onnx.NodeProto) -> list[int]:
    return next((list(each.ints) for each in transpose.attribute if each.name == "perm"), [])


def _group(node: onnx.NodeProto) -> int:
    return next((int(each.i) for each in node.attribute if each.name == "group"), 1)


def _is_plain(node: onnx.NodeProto) -> bool:
    return node.op_type == "Conv" and _group(node) == 1


def _dims(constants: Mapping[str, onnx.TensorProto], name: str) -> list[int]:
    return list(constants[name].dims) if name in constants else [0, 0]


def _drop_unused(graph: onnx.GraphProto) -> None:
    needed = used(graph)
    kept = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(kept)
