"""What a conversion has to know of a graph: its nodes' names, its constants, and which of its values are floats."""

from __future__ import annotations

import difflib
from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from facegate.build.graphs.builder import used
from facegate.errors import GraphError

Array = NDArray[np.generic]


def name_of(node: onnx.NodeProto) -> str:
    """A node's name; one that was published without a name goes by its first output's."""
    return node.name or node.output[0]


def require_nodes(graph: onnx.GraphProto, names: Collection[str]) -> None:
    """Raises GraphError for the first of `names` that no node of `graph` has."""
    known = [name_of(node) for node in graph.node]
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
            raise GraphError(f"keep_fp32: {graph.name} has no node {name!r}; the nearest are {', '.join(nearest)}")


def constants(graph: onnx.GraphProto) -> dict[str, Array]:
    """The graph's constant tensors by their values' names: initializers and Constant nodes."""
    found = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """The TensorProto type of every value whose type can be known."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {each.name: each.data_type for each in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        types[value.name] = value.type.tensor_type.elem_type
    return {name: kind for name, kind in types.items() if kind != TensorProto.UNDEFINED}


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove the constants that no node takes any more, and what was noted of values that may have changed."""
    needed = used(graph) | {output.name for output in graph.output}
    initializers = [each for each in graph.initializer if each.name in needed]
    nodes = [node for node in graph.node if node.op_type != "Constant" or node.output[0] in needed]
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.initializer.extend(initializers)
    graph.node.extend(nodes)
