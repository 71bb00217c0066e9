"""The served form of a net: unsigned bytes in, normalisation inside, any batch, a fixed contract out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facegate.build.graphs.builder import BATCH, Builder, used
from facegate.build.graphs.candidates import anchors, give, keep_best
from facegate.build.graphs.published import output_shapes
from facegate.build.graphs.scrfd import decode_scrfd, free_heads, scrfd_heads
from facegate.build.graphs.source import first_line, in_served_opset, published_graph
from facegate.errors import GraphError
from facegate_client import contract
from facegate_ensemble.pack import DETECTOR, STRIDES, Detector, LivenessNet, Net, Pack, Recognizer

KINDS = ("cls", "obj", "bbox", "kps")


def decode_yunet(build: Builder, net: Detector, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Replace the twelve raw outputs, of these `shapes` in a run, by BOXES, SCORES and LANDMARKS.

    Raises GraphError for another net's outputs.
    """
    raw = {kind: _concatenated(build, net, kind) for kind in KINDS}
    for stride in STRIDES:
        cells = (net.height // stride) * (net.width // stride)
        if found := {shapes[f"{kind}_{stride}"][:2] for kind in KINDS} - {(1, cells)}:
            raise GraphError(
                f"{net.file}: a yunet of {net.height} x {net.width} answers [1, {cells}, values] at stride {stride}; "
                f"this net answers {[*found.pop(), 'values']}"
            )
    scores = build.node("Sqrt", build.node("Mul", _clipped(build, raw["cls"]), _clipped(build, raw["obj"])))
    best = keep_best(build, net, anchors(net.height, net.width, 1), scores, raw["bbox"], raw["kps"])

    log_size = build.node("Split", best.boxes, outputs=2, axis=2, num_outputs=2)
    offset = build.graph.node[-1].output[0]
    centre = build.node("Mul", build.node("Add", offset, best.cell), best.stride)
    half = build.node("Mul", build.node("Exp", log_size), build.node("Mul", best.stride, build.constant([0.5])))
    give(build, best, build.node("Sub", centre, half), build.node("Add", centre, half))


def _concatenated(build: Builder, net: Detector, kind: str) -> str:
    wanted, there = [f"{kind}_{stride}" for stride in STRIDES], {value.name for value in build.graph.output}
    if not there.issuperset(wanted):
        raise GraphError(f"{net.file}: a yunet has outputs {', '.join(wanted)}; this net's are {', '.join(there)}")
    return build.node("Concat", *wanted, axis=1)


def _clipped(build: Builder, value: str) -> str:
    return build.node("Clip", value, build.constant(0.0), build.constant(1.0))


PASSING_ON = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
"""Operators that change no value."""


def require_logits(net: LivenessNet, graph: onnx.GraphProto) -> None:
    """Raises GraphError when an output of `graph`, as it was published, is a Softmax's.

    A LogSoftmax's is no fault: the softmax of a log-softmax is the softmax of the logits.
    """
    makers = {output: node for node in graph.node for output in node.output}
    for output in graph.output:
        maker = makers.get(output.name)
        while maker is not None and maker.op_type in PASSING_ON:
            maker = makers.get(maker.input[0])
        if maker is not None and maker.op_type == "Softmax":
            raise GraphError(
                f"{net.file}: answers probabilities, since it ends in a Softmax; logits are wanted: cut the Softmax "
                f"off with onnx.utils.extract_model, so that what it takes, {maker.input[0]!r}, is the net's output"
            )


def free_the_batch(build: Builder) -> None:
    """Let the first dimension of what is made of the input vary."""
    graph = build.graph
    del graph.value_info[:]
    shapes = _constants(graph)
    for node in graph.node:
        # A Reshape of a constant has no batch: what it begins with is its own.
        if node.op_type != "Reshape" or node.input[0] in shapes:
            continue
        shape = shapes.get(node.input[1])
        if shape is None:
            continue
        target = numpy_helper.to_array(shape).copy()
        if len(target) == 2:  # [1, D] names a size that only a batch of one has: Flatten has none to name
            node.op_type = "Flatten"
            del node.input[1:]
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("axis", 1))
        elif len(target) and target[0] == 1:
            target[0] = 0  # "as in the input", unless allowzero, the one attribute of a Reshape, is set
            del node.attribute[:]
            node.input[1] = build.constant(target, np.int64)  # one of its own: others may use the net's
    needed = used(graph)
    unused = [node for node in graph.node if node.op_type == "Constant" and node.output[0] not in needed]
    for node in unused:
        graph.node.remove(node)


def _constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto | None]:
    """Every constant by name; None for a Constant node of what is no shape, such as plain floats or strings."""
    constants: dict[str, onnx.TensorProto | None] = {each.name: each for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            (held,) = node.attribute
            given = {"value": held.t, "value_ints": numpy_helper.from_array(np.array(held.ints, dtype=np.int64))}
            constants[node.output[0]] = given.get(held.name)
    return constants


def served_graph(pack: Pack, model: str, weights: Path) -> onnx.ModelProto:
    """The graph served as `model`, made of the published net in `weights`: that of the second look at another size.

    Raises GraphError when the file is no ONNX graph or its shapes contradict the pack.
    """
    net = pack.nets[model]
    published = published_graph(net, weights, of_its_size=model == DETECTOR or not isinstance(net, Detector))
    if isinstance(net, LivenessNet):
        require_logits(net, published.graph)
    shapes = output_shapes(net, published)
    source = in_served_opset(published, weights)
    build = Builder(source.graph)
    moved = build.make_way((net.input_name, *net.output_names))
    shapes = {moved.get(name, name): shape for name, shape in shapes.items()}
    if isinstance(net, Detector) and net.head == "scrfd":
        heads = scrfd_heads(net, shapes)
        free_heads(build, net, heads)
    free_the_batch(build)
    _feed_bytes(build, net.input_name, net)
    build.answer_in_floats()
    if isinstance(net, Detector) and net.head == "scrfd":
        decode_scrfd(build, net, heads)
    elif isinstance(net, Detector):
        decode_yunet(build, net, shapes)
    else:
        _read(build, pack, net, shapes)
    return _finish(source, model, net)


def _feed_bytes(build: Builder, name: str, net: Net) -> None:
    """UINT8 [B, H, W, 3] BGR in under `name`, the published net's normalised NCHW input from it."""
    constants = {initializer.name for initializer in build.graph.initializer}
    original = next(value.name for value in build.graph.input if value.name not in constants)
    body = list(build.graph.node)
    del build.graph.node[:]
    value = build.node("Cast", name, to=TensorProto.FLOAT)
    value = build.node("Transpose", value, perm=[0, 3, 1, 2])
    if net.colour == "RGB":  # here, where a colour's pixels lie together, they are moved as a whole
        value = build.node("Gather", value, build.constant([2, 1, 0], np.int64), axis=1)
    if any(net.mean):
        value = build.node("Sub", value, build.constant(np.reshape(net.mean, (1, 3, 1, 1))))
    if any(std != 1.0 for std in net.std):
        value = build.node("Mul", value, build.constant(1.0 / np.reshape(net.std, (1, 3, 1, 1))))
    build.graph.node.extend(body)
    del build.graph.input[:]
    build.rename(original, value)
    shape: list[str | int | None] = [BATCH, net.height, net.width, 3]
    build.graph.input.append(helper.make_tensor_value_info(name, TensorProto.UINT8, shape))


def _read(build: Builder, pack: Pack, net: Net, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The one output of a recognizer L2-normalised, of a liveness net as probabilities."""
    if len(shapes) != 1:
        raise GraphError(f"{net.file}: expected one output, found {', '.join(shapes)}")
    ((raw, shape),) = shapes.items()
    if len(shape) < 2 or shape[0] != 1:
        raise GraphError(
            f"{net.file}: answers {list(shape)} to a batch of one picture; wanted is [1, values], a row a picture"
        )
    values = math.prod(shape[1:])
    if len(shape) > 2:  # [1, values, 1, 1] of a pooling, say
        raw = build.node("Flatten", raw, axis=1)
    if isinstance(net, Recognizer):
        _expect(net, "dimension", values, net.dimension)
        norm = build.node("ReduceL2", raw, build.constant([1], np.int64), keepdims=1)
        norm = build.node("Max", norm, build.constant([1e-12]))
        build.outputs(**{contract.EMBEDDINGS: (build.node("Div", raw, norm), (values,))})
    elif isinstance(net, LivenessNet) and pack.liveness:
        _expect(net, "classes", values, pack.liveness.classes)
        build.outputs(**{contract.PROBABILITIES: (build.node("Softmax", raw, axis=1), (values,))})


def _expect(net: Net, field: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise GraphError(f"{net.file}: answers {found} values a picture, the pack says {field} = {wanted}")


def _finish(model: onnx.ModelProto, name: str, net: Net) -> onnx.ModelProto:
    needed = used(model.graph)
    kept = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.name = name
    model.producer_name = "facegate"
    model.ir_version = max(model.ir_version, 8)  # the first in which constants need not be inputs is 4; 8 is opset 15's
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        raise GraphError(f"{net.file}: the graph made of it to be served does not check: {first_line(error)}") from None
    return model
