"""A published net as it is read from its file: whole in itself, and of the input that its pack says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import Message
from onnx import TensorProto, version_converter

from facegate.build.graphs.resized import resize
from facegate.errors import GraphError
from facegate_ensemble.pack import Net

SERVED_OPSET = 18


def published_graph(net: Net, weights: Path, *, of_its_size: bool = True) -> onnx.ModelProto:
    """The net in `weights` as it was published, or, unless it is `of_its_size`, for pictures of the pack's size.

    Raises GraphError when it is no ONNX graph or contradicts the pack.
    """
    try:
        source = onnx.load(weights, load_external_data=False)
        if any(tensor.data_location == TensorProto.EXTERNAL for tensor in _tensors(source)):
            raise ValueError("it keeps weights in other files; save it as one file")
        onnx.checker.check_model(source)
        _opset(source)
        if not of_its_size:
            resize(source, net.height, net.width)
    except Exception as error:  # onnx raises protobuf's and its own here, and plain RuntimeErrors
        raise GraphError(f"{weights.name}: not a usable ONNX graph: {first_line(error)}") from None
    _check_input(source, net)
    return source


def in_served_opset(source: onnx.ModelProto, weights: Path) -> onnx.ModelProto:
    """The same net in an opset that the added nodes are written for, or a later one. Raises GraphError."""
    try:
        return source if _opset(source) >= SERVED_OPSET else version_converter.convert_version(source, SERVED_OPSET)
    except Exception as error:
        reason = f"of opset {_opset(source)}, not convertible to {SERVED_OPSET}: {first_line(error)}"
        raise GraphError(f"{weights.name}: not a usable ONNX graph: {reason}") from None


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]


def _opset(source: onnx.ModelProto) -> int:
    """The version of ONNX's own operators; a net may import others' too, in any order."""
    for entry in source.opset_import:
        if entry.domain in ("", "ai.onnx"):
            return int(entry.version)
    raise ValueError("it imports none of ONNX's own operators")


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Every tensor in a model: initializers, sparse ones too, and what nodes hold, also in subgraphs and functions."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for each in [value] if isinstance(value, Message) else value:
            if isinstance(each, onnx.TensorProto):
                yield each
            else:
                yield from _tensors(each)


def _check_input(source: onnx.ModelProto, net: Net) -> None:
    constants = {initializer.name for initializer in source.graph.initializer}
    inputs = [value for value in source.graph.input if value.name not in constants]
    shapes = [[_side(dim) for dim in value.type.tensor_type.shape.dim] for value in inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != 3:
        found = " and ".join(f"{value.name} {_written(shape)}" for value, shape in zip(inputs, shapes, strict=True))
        raise GraphError(f"{net.file}: expected one input of shape [batch, 3, height, width], found {found or 'none'}")
    sides, wanted = shapes[0][2:], (net.height, net.width)
    if any(isinstance(side, int) and side != size for side, size in zip(sides, wanted, strict=True)):
        raise GraphError(f"{net.file}: takes {sides[0]}x{sides[1]}, the pack says {net.height}x{net.width}")


def _side(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    """A dimension's size, or where it may vary, its name."""
    return int(dim.dim_value) if dim.dim_value else dim.dim_param or "?"


def _written(shape: list[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"
