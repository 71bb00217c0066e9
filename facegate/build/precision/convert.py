"""A served graph in another precision, as the graph itself says it: what a strongly typed TensorRT network needs."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray

from facegate.build.precision.calibration import activation_scales
from facegate.build.precision.half import in_half
from facegate.build.precision.int8 import in_int8, products
from facegate.build.precision.nodes import name_of, require_nodes
from facegate.build.target import Precision
from facegate.errors import GraphError


def in_precision(
    graph: onnx.ModelProto, precision: Precision, keep_fp32: Collection[str], crops: NDArray[np.uint8]
) -> onnx.ModelProto:
    """A new model with the inputs and outputs of the served `graph`; from the same arguments the same bytes.

    `keep_fp32` are names of nodes to leave in FP32; a node published without a name goes by its first output's. INT8 is
    calibrated on `crops`, UINT8 [N, H, W, 3], what the net is fed. Raises GraphError for a name no node has, and for
    INT8 without crops.
    """
    require_nodes(graph.graph, keep_fp32)
    if precision is Precision.fp16:
        converted = in_half(graph, keep_fp32)
    elif precision is Precision.int8:
        if not len(crops):
            raise GraphError(f"{graph.graph.name}: no picture to calibrate int8 on")
        taken = {node.input[0] for node in products(graph) if name_of(node) not in keep_fp32}
        converted = in_int8(graph, keep_fp32, activation_scales(graph, taken, crops))
    else:
        converted = onnx.ModelProto()
        converted.CopyFrom(graph)
    onnx.checker.check_model(converted, full_check=True)
    return converted
