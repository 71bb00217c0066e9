"""YuNet's raw outputs turned into boxes, scores and landmarks inside the graph.

YuNet has one anchor a cell at strides 8, 16 and 32. With the cell's column and row c, r and the stride s
(OpenCV, modules/objdetect/src/face_detect.cpp):
    score = sqrt(cls * obj), both clipped to [0, 1]
    centre = (c + dx, r + dy) * s;  size = exp(w, h) * s;  landmark = (c + kx, r + ky) * s
Only the K best candidates are decoded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.graphs.builder import Builder
from ensemble.pack import Detector
from facegate_client import contract

STRIDES = (8, 16, 32)


def cells(height: int, width: int) -> NDArray[np.float32]:
    """FP32 [A, 3]: column, row and stride of every anchor, in the order of the concatenated outputs."""
    levels: list[NDArray[np.float32]] = []
    for stride in STRIDES:
        rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
        level = np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1)
        levels.append(level.astype(np.float32))
    return np.concatenate(levels)


def decode_yunet(build: Builder, net: Detector) -> None:
    """Replace the twelve raw outputs by BOXES, SCORES and LANDMARKS of the K best candidates."""
    raw = {kind: _concatenated(build, kind) for kind in ("cls", "obj", "bbox", "kps")}
    priors = cells(net.height, net.width)
    k = min(net.candidates, len(priors))

    scores = build.node("Sqrt", build.node("Mul", _clipped(build, raw["cls"]), _clipped(build, raw["obj"])))
    scores = build.node("Squeeze", scores, build.constant([2], np.int64))
    indices = build.node("TopK", scores, build.constant([k], np.int64), outputs=2, axis=1, largest=1, sorted=1)
    scores = build.graph.node[-1].output[0]

    rows = build.node("Unsqueeze", indices, build.constant([2], np.int64))
    boxes = build.node("GatherND", raw["bbox"], rows, batch_dims=1)
    points = build.node("GatherND", raw["kps"], rows, batch_dims=1)
    corner = build.node("Gather", build.constant(priors[:, :2]), indices, axis=0)
    stride = build.node("Gather", build.constant(priors[:, 2:]), indices, axis=0)

    offset = build.node("Split", boxes, outputs=2, axis=2, num_outputs=2)
    log_size, offset = offset, build.graph.node[-1].output[0]
    centre = build.node("Mul", build.node("Add", offset, corner), stride)
    half = build.node("Mul", build.node("Exp", log_size), build.node("Mul", stride, build.constant([0.5])))
    boxes = build.node("Concat", build.node("Sub", centre, half), build.node("Add", centre, half), axis=2)

    points = build.node("Reshape", points, build.constant([0, k, 5, 2], np.int64))
    axis = build.constant([2], np.int64)
    points = build.node("Add", points, build.node("Unsqueeze", corner, axis))
    points = build.node("Mul", points, build.node("Unsqueeze", stride, axis))

    build.outputs(
        **{contract.BOXES: (boxes, (k, 4)), contract.SCORES: (scores, (k,)), contract.LANDMARKS: (points, (k, 5, 2))}
    )


def _concatenated(build: Builder, kind: str) -> str:
    return build.node("Concat", *(f"{kind}_{stride}" for stride in STRIDES), axis=1)


def _clipped(build: Builder, value: str) -> str:
    return build.node("Clip", value, build.constant(0.0), build.constant(1.0))
