"""The served form of a net: unsigned bytes in, normalisation inside, any batch, a fixed contract out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

from engines.graphs.builder import BATCH, Builder
from engines.graphs.errors import GraphError
from engines.graphs.published import output_shapes
from engines.graphs.scrfd import decode_scrfd, free_heads, scrfd_heads
from engines.graphs.yunet import decode_yunet
from ensemble.pack import Detector, LivenessNet, Net, Pack, Recognizer
from facegate_client import contract

SERVED_OPSET = 18


def served_graph(pack: Pack, model: str, weights: Path) -> onnx.ModelProto:
    """The graph served as `model`, made of the published net in `weights`.

    Raises GraphError when the file is no ONNX graph or its shapes contradict the pack.
    """
    net = pack.nets[model]
    try:
        source = onnx.load(weights, load_external_data=False)
        if any(tensor.data_location == TensorProto.EXTERNAL for tensor in source.graph.initializer):
            raise ValueError("it keeps weights in other files; save it as one file")
        onnx.checker.check_model(source)
        if source.opset_import[0].version < SERVED_OPSET:
            source = version_converter.convert_version(source, SERVED_OPSET)
    except Exception as error:  # onnx raises protobuf's, its own and plain RuntimeErrors here
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise GraphError(f"{weights.name}: not a usable ONNX graph: {reason}") from None
    _check_input(source, net)
    shapes = output_shapes(net, weights)
    build = Builder(source.graph)
    if isinstance(net, Detector) and net.head == "scrfd":
        heads = scrfd_heads(net, shapes)
        free_heads(build, net, heads)
    _free_the_batch(source.graph)
    _feed_bytes(build, model, net)
    if isinstance(net, Detector) and net.head == "scrfd":
        decode_scrfd(build, net, heads)
    elif isinstance(net, Detector):
        decode_yunet(build, net)
    else:
        _read(build, pack, net, shapes)
    return _finish(source, model)


def _check_input(source: onnx.ModelProto, net: Net) -> None:
    constants = {initializer.name for initializer in source.graph.initializer}
    inputs = [value for value in source.graph.input if value.name not in constants]
    shape = [dim.dim_value for value in inputs for dim in value.type.tensor_type.shape.dim]
    if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3:
        raise GraphError(f"{net.file}: expected one input of shape [batch, 3, height, width], found {shape}")
    if any(fixed not in (0, wanted) for fixed, wanted in zip(shape[2:], (net.height, net.width), strict=True)):
        raise GraphError(f"{net.file}: takes {shape[2]}x{shape[3]}, the pack says {net.height}x{net.width}")


def _free_the_batch(graph: onnx.GraphProto) -> None:
    """Let the first dimension vary: published nets bake a batch of one into shapes and Reshapes."""
    del graph.value_info[:]
    constants = {initializer.name: initializer for initializer in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant_tensor(node)
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        target = numpy_helper.to_array(constants[node.input[1]]).copy()
        if len(target) == 2:  # [1, D] names a size that only a batch of one has: Flatten has none to name
            node.op_type = "Flatten"
            del node.input[1:]
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("axis", 1))
        elif target[0] == 1:
            target[0] = 0  # "as in the input"
            constants[node.input[1]].CopyFrom(numpy_helper.from_array(target, constants[node.input[1]].name))
    used = {name for node in graph.node for name in node.input}
    unused = [node for node in graph.node if node.op_type == "Constant" and node.output[0] not in used]
    for node in unused:
        graph.node.remove(node)


def _constant_tensor(node: onnx.NodeProto) -> onnx.TensorProto:
    """The value of a Constant node, which is given as a tensor if it was given as a list."""
    if node.attribute[0].name != "value":
        values = np.array(helper.get_attribute_value(node.attribute[0]))
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(values)))
    tensor: onnx.TensorProto = node.attribute[0].t
    return tensor


def _feed_bytes(build: Builder, model: str, net: Net) -> None:
    """UINT8 [B, H, W, 3] BGR in, the published net's normalised NCHW input from it."""
    constants = {initializer.name for initializer in build.graph.initializer}
    original = next(value.name for value in build.graph.input if value.name not in constants)
    body = list(build.graph.node)
    del build.graph.node[:]
    name = contract.NET_INPUTS.get(model, contract.CROPS)
    value = build.node("Cast", name, to=TensorProto.FLOAT)
    if net.colour == "RGB":
        value = build.node("Gather", value, build.constant([2, 1, 0], np.int64), axis=3)
    value = build.node("Transpose", value, perm=[0, 3, 1, 2])
    if any(net.mean):
        value = build.node("Sub", value, build.constant(np.reshape(net.mean, (1, 3, 1, 1))))
    if any(std != 1.0 for std in net.std):
        value = build.node("Mul", value, build.constant(1.0 / np.reshape(net.std, (1, 3, 1, 1))))
    for node in body:
        node.input[:] = [value if used == original else used for used in node.input]
    build.graph.node.extend(body)
    del build.graph.input[:]
    shape: list[str | int | None] = [BATCH, net.height, net.width, 3]
    build.graph.input.append(helper.make_tensor_value_info(name, TensorProto.UINT8, shape))


def _read(build: Builder, pack: Pack, net: Net, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The one output of a recognizer L2-normalised, of a liveness net as probabilities."""
    if len(shapes) != 1:
        raise GraphError(f"{net.file}: expected one output, found {', '.join(shapes)}")
    ((raw, shape),) = shapes.items()
    values = math.prod(shape)
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


def _finish(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    used = {value for node in model.graph.node for value in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.name = name
    model.producer_name = "facegate"
    model.ir_version = max(model.ir_version, 8)  # the first in which constants need not be inputs is 4; 8 is opset 15's
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        raise GraphError(f"{name}: the served graph does not check: {str(error).splitlines()[0]}") from None
    return model
