"""The batch let vary: published nets bake a batch of one into shapes and Reshapes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from facegate.build.graphs.builder import Builder, used


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
