"""What a graph with FP16 nodes answers where FP16 is computed, rehearsed on a CPU.

ONNX Runtime has no FP16 kernels on a CPU: it computes such nodes in FP32 and drops the casts in between, so that what
FP16 loses, or cannot hold, does not show. Here every value that FP16 nodes make is rounded to FP16 indeed.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facegate.build.precision.nodes import element_types


def rehearsed(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the same inputs and outputs, in FP32 throughout, values rounded to FP16 where it has them in FP16.

    A GPU adds up in FP32 and may fuse nodes, rounding less often: it does no worse than this unless it adds up in FP16.
    """
    types = element_types(model)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    for tensor in graph.initializer:
        _widen(tensor)
    del graph.node[:]
    for node in model.graph.node:
        new = graph.node.add()
        new.CopyFrom(node)
        for attribute in new.attribute:
            if attribute.HasField("t"):
                _widen(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
        for index, name in enumerate(node.output):
            if types.get(name) == TensorProto.FLOAT16:
                exact, rounded = f"{name}/exact", f"{name}/rounded"
                new.output[index] = exact
                graph.node.append(helper.make_node("Cast", [exact], [rounded], name=rounded, to=TensorProto.FLOAT16))
                graph.node.append(helper.make_node("Cast", [rounded], [name], name=name, to=TensorProto.FLOAT))
    del graph.value_info[:]
    return result


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
