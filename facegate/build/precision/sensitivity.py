"""The nodes of a model that FP16 hurts most: those to keep in FP32 when the model fails its accuracy check."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from facegate.build.precision.half import half_nodes, in_half
from facegate.build.precision.nodes import name_of, require_nodes
from facegate.build.precision.rehearsal import rehearsed
from facegate.build.precision.running import Outputs, answers, spread
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


def sensitivity(graph: onnx.ModelProto, keep_fp32: Collection[str], crops: NDArray[np.uint8]) -> list[NodeError]:
    """Returns the nodes that FP16 would convert, but for those of `keep_fp32`, most harmful first.

    A measurement, over at most MOST of `crops`, UINT8 [N, H, W, 3]: each node is converted alone, and the graph is run
    with every value rounded to FP16. What nodes do to one another is not in it. Raises GraphError like `in_precision`.
    """
    require_nodes(graph.graph, keep_fp32)
    everything = {name_of(node) for node in graph.graph.node}
    seen = spread(crops, MOST, PIXELS)
    expected = list(answers(graph, seen))
    errors = []
    for node in half_nodes(graph, keep_fp32):
        alone = rehearsed(in_half(graph, everything - {node}))
        errors.append(NodeError(node, _moved(expected, list(answers(alone, seen)))))
    return sorted(errors, key=lambda error: -error.difference)


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
