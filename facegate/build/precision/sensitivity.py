"""Which of a net's nodes are hurt most by a precision: those to keep in FP32 when a net fails its gate."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from facegate.build.precision.calibration import activation_scales
from facegate.build.precision.half import half_nodes, in_half
from facegate.build.precision.int8 import in_int8, products
from facegate.build.precision.nodes import name_of, require_nodes
from facegate.build.precision.rehearsal import rehearsed
from facegate.build.precision.running import Outputs, answers, spread
from facegate.build.target import Precision
from facegate_client import contract

MOST, PIXELS = 32, 1 << 21
"""Crops run for every node, and pixels in all of them: some 10 s for a net on two cores."""

ALLOWED = {
    contract.BOXES: 1.0,  # detector pixels
    contract.LANDMARKS: 1.0,
    contract.SCORES: 0.02,
    contract.EMBEDDINGS: 0.0447,  # the distance between two vectors of length one whose cosine is 0.999
    contract.PROBABILITIES: 0.02,
}
"""How far an output may move, so that those of a detector can be put on one scale."""

FACE = 0.5
"""The score from which a detector's candidate counts."""


@dataclass(frozen=True, slots=True)
class NodeError:
    """`difference`: how far the outputs move when `node` alone is converted, in parts of ALLOWED (root mean square)."""

    node: str
    difference: float


def sensitivity(
    graph: onnx.ModelProto, precision: Precision, keep_fp32: Collection[str], crops: NDArray[np.uint8]
) -> list[NodeError]:
    """The nodes that `precision` would convert, but for those of `keep_fp32`, most harmful first; none for FP32.

    A measurement, over at most MOST of `crops`, UINT8 [N, H, W, 3]: each node is converted alone, and the net run. What
    nodes do to one another is not in it. FP16 is rehearsed. Raises GraphError like `in_precision`.
    """
    require_nodes(graph.graph, keep_fp32)
    if precision is Precision.fp32:
        return []
    nodes, alone = _converters(graph, precision, keep_fp32, crops)
    seen = spread(crops, MOST, PIXELS)
    expected = list(answers(graph, seen))
    errors = [NodeError(node, _moved(expected, list(answers(alone(node), seen)))) for node in nodes]
    return sorted(errors, key=lambda error: -error.difference)


def _converters(
    graph: onnx.ModelProto, precision: Precision, keep_fp32: Collection[str], crops: NDArray[np.uint8]
) -> tuple[list[str], Callable[[str], onnx.ModelProto]]:
    """The nodes to be converted, and what converts the one of that name alone, in a form that a CPU can run."""
    everything = {name_of(node) for node in graph.graph.node}
    if precision is Precision.fp16:
        return half_nodes(graph, keep_fp32), lambda node: rehearsed(in_half(graph, everything - {node}))
    chosen = [node for node in products(graph) if name_of(node) not in keep_fp32]
    scales = activation_scales(graph, {node.input[0] for node in chosen}, crops)
    return [name_of(node) for node in chosen], lambda node: in_int8(graph, everything - {node}, scales)


def _moved(expected: list[Outputs], found: list[Outputs]) -> float:
    moves = [_worst(*pair) for pair in zip(expected, found, strict=True)]
    return float(np.sqrt(np.mean(np.square(moves))))


def _worst(expected: Outputs, found: Outputs) -> float:
    """The largest move among one crop's outputs, in parts of ALLOWED; not a number is endlessly far.

    Of a detector it is the mean over the candidates that may be faces: the worst is one that no face comes of.
    """
    parts = []
    for name, values in expected.items():
        if contract.BOXES in expected:
            faces = expected[contract.SCORES] >= FACE
            gaps = np.abs(found[contract.BOXES][None] - expected[contract.BOXES][faces][:, None]).max(axis=2)
            moves = np.abs(found[name][gaps.argmin(axis=1)] - values[faces]).reshape(faces.sum(), -1).max(axis=1)
            move = moves.mean() if len(moves) else 0.0
        elif name == contract.EMBEDDINGS:
            move = np.linalg.norm(found[name] - values)
        else:
            move = np.abs(found[name] - values).max()
        parts.append(float(np.nan_to_num(move, nan=np.inf)) / ALLOWED[name])
    return max(parts)
