"""A small writer for the nodes that are added around a published net."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

BATCH = "B"


class Builder:
    """Adds nodes and constants to a graph under names that cannot collide with the net's own."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self._count = 0

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"facegate/{stem}_{self._count}"

    def constant(self, values: ArrayLike, dtype: type = np.float32) -> str:
        name = self._name("constant")
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node; returns the name of its last output."""
        names = [self._name(op.lower()) for _ in range(outputs)]
        self.graph.node.append(helper.make_node(op, list(inputs), names, name=names[0], **attributes))
        return names[-1]

    def rename(self, value: str, name: str) -> None:
        """Give a value the public name of an output."""
        for node in self.graph.node:
            node.output[:] = [name if output == value else output for output in node.output]
            node.input[:] = [name if used == value else used for used in node.input]

    def outputs(self, **values: tuple[str, tuple[int, ...]]) -> None:
        """Replace the graph's outputs: name = (value, dimensions after the batch), all FP32."""
        del self.graph.output[:]
        for name, (value, dims) in values.items():
            self.rename(value, name)
            self.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *dims]))
