"""A small writer for the nodes that are added around a published net."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
        self._taken = set(_names(graph))

    def _name(self, stem: str) -> str:
        self._count += 1
        name = f"facegate/{stem}_{self._count}"
        return name if name not in self._taken else self._name(stem)

    def constant(self, values: ArrayLike, dtype: type = np.float32) -> str:
        """Add an initializer of `values` as `dtype`; returns its name."""
        name = self._name("constant")
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node; returns the name of its last output."""
        names = [self._name(op.lower()) for _ in range(outputs)]
        self.graph.node.append(helper.make_node(op, list(inputs), names, name=names[0], **attributes))
        return names[-1]

    def rename(self, value: str, name: str) -> None:
        """Give a value another name wherever it is made or used."""
        _rename(self.graph, value, name)

    def make_way(self, names: Iterable[str]) -> dict[str, str]:
        """Rename the net's own values that bear one of `names`. Returns their new names by their old ones."""
        moved = {name: self._name(name.lower()) for name in names if name in self._taken}
        for old, new in moved.items():
            self.rename(old, new)
        return moved

    def answer_in_floats(self) -> None:
        """Turn outputs of another type, double or half floats, into FP32 ones of the same names."""
        for output in self.graph.output:
            if output.type.tensor_type.elem_type != TensorProto.FLOAT:
                name, raw = output.name, self._name("raw")
                self.rename(name, raw)
                self.graph.node.append(helper.make_node("Cast", [raw], [name], name=name, to=TensorProto.FLOAT))
                output.name = name
                output.type.tensor_type.elem_type = TensorProto.FLOAT

    def outputs(self, **values: tuple[str, tuple[int, ...]]) -> None:
        """Replace the graph's outputs: name = (value, dimensions after the batch), all FP32."""
        del self.graph.output[:]
        for name, (value, dims) in values.items():
            self.rename(value, name)
            self.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *dims]))


def used(graph: onnx.GraphProto) -> set[str]:
    """The values that the nodes of a graph take, those in its subgraphs too."""
    taken = {name for node in graph.node for name in node.input}
    for inner in subgraphs(graph):
        taken |= used(inner) | {output.name for output in inner.output}
    return taken


def subgraphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The branches and bodies of a graph's If, Loop and Scan nodes."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs


def _declared(graph: onnx.GraphProto) -> Iterator[Any]:
    """Everything in a graph but its nodes that bears a value's name as its own."""
    yield from (*graph.input, *graph.output, *graph.initializer, *(each.values for each in graph.sparse_initializer))


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from (*node.input, *node.output)
    yield from (each.name for each in _declared(graph))
    for inner in subgraphs(graph):
        yield from _names(inner)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
        node.input[:] = [new if name == old else name for name in node.input]
    for each in _declared(graph):
        if each.name == old:
            each.name = new
    for inner in subgraphs(graph):
        _rename(inner, old, new)
