"""A served graph whose convolutions and matrix products take INT8, by QuantizeLinear and DequantizeLinear before them.

What NVIDIA's builders ask of such a graph: symmetric (every zero point 0), activations with one scale a tensor, weights
with one a channel, stored as INT8. Only what enters a product is quantised, so what leaves it, its bias and everything
else stay FP32. Depthwise convolutions are left alone: with one channel each they are a hundredth of the work, and do
most of the harm (the default recognizer's worst cosine is 0.95 with them and 0.99 without).

ONNX Runtime's own quantizer is not used: it makes INT32 biases of its own accord, which NVIDIA's parser refuses, and
quantises outputs, between a convolution and the activation that is to be fused with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facegate.build.precision.nodes import Array, constants, drop_unused, element_types, name_of

STEPS = 127
"""Steps from zero to the largest value that a scale holds; -128 is not used, so that both signs have as many."""


def products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes of `model` that can be quantised: products of a float value and constant weights, in their order."""
    types, known = element_types(model), constants(model.graph)
    return [
        node
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul")
        and types.get(node.input[0]) == TensorProto.FLOAT
        and node.input[0] not in known
        and _weighs_channels(node, known.get(node.input[1]))
    ]


def _weighs_channels(node: onnx.NodeProto, weights: Array | None) -> bool:
    """Whether `weights` are those of a product that adds up more than one channel."""
    return weights is not None and weights.ndim >= 2 and not (node.op_type == "Conv" and weights.shape[1] == 1)


def in_int8(model: onnx.ModelProto, keep: Collection[str], scales: Mapping[str, float]) -> onnx.ModelProto:
    """`model` with its products in INT8 but for those named in `keep`; `scales` has one for each value they take."""
    chosen = [node.output[0] for node in products(model) if name_of(node) not in keep]
    known = constants(model.graph)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    writer = _Writer(result.graph)
    for node in model.graph.node:
        new = onnx.NodeProto()
        new.CopyFrom(node)
        if node.output[0] in chosen:
            value, weights = node.input[:2]
            new.input[0] = writer.activation(value, scales[value])
            new.input[1] = writer.weights(weights, known[weights], _channels(node, known[weights]))
        result.graph.node.append(new)
    drop_unused(result.graph)
    return result


def _channels(node: onnx.NodeProto, weights: Array) -> int:
    """The axis of the weights that goes over a product's outputs."""
    if node.op_type == "Conv":
        return 0
    transposed = any(each.name == "transB" and each.i for each in node.attribute)
    return weights.ndim - 2 if transposed else weights.ndim - 1


class _Writer:
    """Writes each pair of QuantizeLinear and DequantizeLinear once, however many nodes take its value."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._made: set[str] = set()
        del graph.node[:]

    def activation(self, value: str, scale: float) -> str:
        name = f"facegate/int8/{value}"
        if self._first(name):
            scaled = self._scale(name, np.float32(scale))
            self._graph.node.append(
                helper.make_node("QuantizeLinear", [value, *scaled], [f"{name}/q"], name=f"{name}/q")
            )
            self._graph.node.append(helper.make_node("DequantizeLinear", [f"{name}/q", *scaled], [name], name=name))
        return name

    def weights(self, value: str, weights: Array, axis: int) -> str:
        name = f"facegate/int8/{value}/{axis}"
        if self._first(name):
            floats = np.moveaxis(weights.astype(np.float32), axis, -1)
            largest = np.abs(floats).reshape(-1, floats.shape[-1]).max(axis=0)
            scale = (np.where(largest > 0, largest, 1) / STEPS).astype(np.float32)
            steps = np.moveaxis(np.rint(floats / scale).clip(-STEPS, STEPS).astype(np.int8), -1, axis)
            self._store(f"{name}/q", np.ascontiguousarray(steps))
            inputs = [f"{name}/q", *self._scale(name, scale)]
            self._graph.node.append(helper.make_node("DequantizeLinear", inputs, [name], name=name, axis=axis))
        return name

    def _first(self, name: str) -> bool:
        first = name not in self._made
        self._made.add(name)
        return first

    def _scale(self, name: str, scale: np.float32 | NDArray[np.float32]) -> tuple[str, str]:
        self._store(f"{name}/scale", np.asarray(scale))
        self._store(f"{name}/zero", np.zeros(np.shape(scale), dtype=np.int8))
        return f"{name}/scale", f"{name}/zero"

    def _store(self, name: str, values: Array) -> None:
        self._graph.initializer.append(numpy_helper.from_array(values, name))
