"""What both families of detectors have in common: anchors on a grid, of which only the K best are decoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegate.build.graphs.builder import Builder
from facegate_client import contract
from facegate_ensemble.pack import STRIDES, Detector


def anchors(height: int, width: int, per_cell: int) -> NDArray[np.float32]:
    """FP32 [A, 3]: column, row and stride of every anchor: stride by stride, row by row, a cell's own side by side."""
    levels: list[NDArray[np.float32]] = []
    for stride in STRIDES:
        rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
        level = np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1)
        levels.append(np.repeat(level, per_cell, axis=0).astype(np.float32))
    return np.concatenate(levels)


@dataclass(frozen=True, slots=True)
class Best:
    """The `k` best candidates as values in a graph: what decoding their raw `boxes` [B, K, 4] needs, and the rest.

    `cell` [B, K, 2] is column and row, `stride` [B, K, 1] pixels, `scores` [B, K], `landmarks` [B, K, 5, 2] pixels.
    """

    k: int
    boxes: str
    cell: str
    stride: str
    scores: str
    landmarks: str


def keep_best(build: Builder, net: Detector, grid: NDArray[np.float32], scores: str, boxes: str, points: str) -> Best:
    """The best of scores [B, A, 1], with boxes [B, A, 4] and points [B, A, 10], for the anchors `grid`.

    With the cell's column and row c, r and the stride s, a landmark is (c + kx, r + ky) * s in both families.
    """
    k = min(net.candidates, len(grid))
    scores = build.node("Squeeze", scores, build.constant([2], np.int64))
    indices = build.node("TopK", scores, build.constant([k], np.int64), outputs=2, axis=1, largest=1, sorted=1)
    scores = build.graph.node[-1].output[0]

    rows = build.node("Unsqueeze", indices, build.constant([2], np.int64))
    boxes = build.node("GatherND", boxes, rows, batch_dims=1)
    points = build.node("GatherND", points, rows, batch_dims=1)
    cell = build.node("Gather", build.constant(grid[:, :2]), indices, axis=0)
    stride = build.node("Gather", build.constant(grid[:, 2:]), indices, axis=0)

    points = build.node("Reshape", points, build.constant([0, k, 5, 2], np.int64))
    axis = build.constant([2], np.int64)
    points = build.node("Add", points, build.node("Unsqueeze", cell, axis))
    points = build.node("Mul", points, build.node("Unsqueeze", stride, axis))
    return Best(k, boxes, cell, stride, scores, points)


def give(build: Builder, best: Best, left_top: str, right_bottom: str) -> None:
    """Make the graph's outputs of the best candidates and their boxes' corners, [B, K, 2] each, pixels."""
    build.outputs(
        **{
            contract.BOXES: (build.node("Concat", left_top, right_bottom, axis=2), (best.k, 4)),
            contract.SCORES: (best.scores, (best.k,)),
            contract.LANDMARKS: (best.landmarks, (best.k, 5, 2)),
        }
    )
