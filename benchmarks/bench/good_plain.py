"""The good plain way: what a careful programmer gets out of the same published files in a short program.

All four nets under ONNX Runtime's defaults in the caller's own process, without a server; pictures letterboxed to the
detector's 640 x 640; YuNet's outputs decoded by whole arrays; one detection for each picture; the best face's crops as
the pipeline cuts them. One caller at a time, and ONNX Runtime has all cores for each net.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.bench.original_nets import Floats, OriginalNet, OriginalNets, decoded
from benchmarks.bench.peer import Pair, Verdict
from facegate_ensemble.pack import STRIDES, Detector, Pack
from facegate_ensemble.pipeline.detection import Faces, select_faces
from facegate_ensemble.pipeline.letterbox import letterbox
from facegate_ensemble.pipeline.pyramid import ImagePyramid


class GoodPlainWay:
    """One caller at a time; ONNX Runtime chooses the number of its threads."""

    def __init__(self, pack: Pack, files: Mapping[str, Path]) -> None:
        self._about = pack.detector
        self._detector = OriginalNet(pack.detector, files)
        self._nets = OriginalNets(pack, files)

    def prepared(self, pair: Pair) -> Callable[[], bytes]:
        """See Way."""
        return lambda: json.dumps(asdict(self.verify(pair))).encode()

    def read(self, answer: bytes) -> Verdict:
        """See Way."""
        return Verdict.from_json(json.loads(answer))

    def verify(self, pair: Pair) -> Verdict:
        """Raises ValueError where a picture has no face."""
        images = [ImagePyramid(decoded(data)) for data in pair]
        faces = [self._best(image) for image in images]
        pairs = list(zip(images, faces, strict=True))
        return self._nets.verdict(
            [self._nets.embedding(image, face.landmarks[0]) for image, face in pairs],
            [self._nets.probabilities(image, face.boxes[0]) for image, face in pairs],
        )

    def _best(self, image: ImagePyramid) -> Faces:
        about = self._about
        canvas, factor = letterbox(image, about.height, about.width)
        boxes, scores, landmarks = candidates(self._detector.run(canvas), about)
        limit, overlap = about.min_score, about.nms_iou
        faces = select_faces(boxes, scores, landmarks, factor=factor, min_score=limit, nms_iou=overlap, max_faces=1)
        if not len(faces):
            raise ValueError("no face")
        return faces


def candidates(raw: Mapping[str, Floats], about: Detector) -> tuple[Floats, Floats, Floats]:
    """YuNet's outputs as boxes [N, 4], scores [N], best first, and landmarks [N, 5, 2] in the detector's pixels, of the
    cells that reach the pack's score (the formula is in facegate/build/graphs/served.py)."""
    found = []
    for stride in STRIDES:
        product = np.clip(raw[f"cls_{stride}"], 0, 1) * np.clip(raw[f"obj_{stride}"], 0, 1)
        scores = np.sqrt(product).reshape(-1)
        cells = np.flatnonzero(scores >= about.min_score)
        rows, columns = np.divmod(cells, about.width // stride)
        corner = np.stack([columns, rows], axis=1).astype(np.float32)
        box = raw[f"bbox_{stride}"][0, cells]
        centre, half = (corner + box[:, :2]) * stride, np.exp(box[:, 2:]) * (stride / 2)
        points = (raw[f"kps_{stride}"][0, cells].reshape(-1, 5, 2) + corner[:, None]) * stride
        found.append((np.concatenate([centre - half, centre + half], axis=1), scores[cells], points))
    boxes, scores, landmarks = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order], landmarks[order]
