"""A served graph in another precision, as the graph itself says it: what a strongly typed TensorRT network needs."""

from __future__ import annotations

from collections.abc import Collection

import onnx

from facegate.build.precision.half import in_half
from facegate.build.precision.nodes import require_nodes
from facegate.build.target import Precision


def in_precision(graph: onnx.ModelProto, precision: Precision, keep_fp32: Collection[str]) -> onnx.ModelProto:
    """Returns a new model with the inputs and outputs of the served `graph`; from the same arguments the same bytes.

    `keep_fp32` are names of nodes to leave in FP32; a node published without a name goes by its first output's. Raises
    GraphError for a name no node has.
    """
    require_nodes(graph.graph, keep_fp32)
    if precision is Precision.fp16:
        converted = in_half(graph, keep_fp32)
    else:
        converted = onnx.ModelProto()
        converted.CopyFrom(graph)
    onnx.checker.check_model(converted, full_check=True)
    return converted
