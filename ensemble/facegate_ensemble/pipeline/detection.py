"""From a detector's candidates to the faces of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegate_client.contract import SeveralFaces
from facegate_ensemble.pipeline.alignment import alignable

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Faces:
    """N faces: boxes FP32 [N, 4] x1 y1 x2 y2, scores FP32 [N] descending, landmarks FP32 [N, 5, 2] x y.

    Coordinates are pixels of the image.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, indices: NDArray[np.intp] | slice) -> Faces:
        """The faces at `indices`, in that order."""
        return Faces(self.boxes[indices], self.scores[indices], self.landmarks[indices])


NO_FACES = Faces(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))


def select_faces(
    boxes: Floats, scores: Floats, landmarks: Floats, *, factor: float, min_score: float, nms_iou: float, max_faces: int
) -> Faces:
    """The faces among one image's candidates, best first.

    boxes [K, 4], scores [K] descending and landmarks [K, 5, 2] are in the detector's pixels; `factor` is detector
    pixels per image pixel. Candidates under `min_score`, without area, with landmarks that coincide or not finite are
    dropped, then those that overlap a better one by more than `nms_iou`; ties keep the detector's order, so the result
    is deterministic.
    """
    likely = np.flatnonzero(scores >= min_score)  # few: what follows is done for these alone
    if not len(likely):
        return NO_FACES
    boxes, scores, landmarks = boxes[likely], scores[likely], landmarks[likely]
    sized = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    finite = np.isfinite(scores) & np.isfinite(boxes).all(axis=1) & np.isfinite(landmarks).all(axis=(1, 2))
    scale = np.float32(factor)
    with np.errstate(over="ignore"):
        points = landmarks / scale
    candidates = np.flatnonzero(sized & finite & alignable(points))
    kept = candidates[_non_maximum_suppression(boxes[candidates], nms_iou, max_faces)]
    return Faces(boxes[kept] / scale, scores[kept], points[kept])


def choose_face(faces: Faces, several_faces: SeveralFaces, height: int, width: int) -> Faces:
    """The face that counts in an image of `height` x `width` pixels; none of no faces.

    SeveralFaces.LARGEST compares the areas of the boxes inside the image, and the scores of equal areas. Anything else
    takes the highest score. What is equal in both is decided by the order of `faces`.
    """
    rank = [-faces.scores]
    if several_faces is SeveralFaces.LARGEST:
        limits = np.array([width, height], dtype=np.float64)
        corners = np.clip(faces.boxes.reshape(-1, 2, 2).astype(np.float64), 0.0, limits)
        rank.append(-np.prod(corners[:, 1] - corners[:, 0], axis=1))
    return faces.take(np.lexsort(rank)[:1])  # stable; the last key counts first


def _non_maximum_suppression(boxes: Floats, nms_iou: float, limit: int) -> NDArray[np.intp]:
    """Greedy NMS over boxes [N, 4] sorted best first; at most `limit` indices."""
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < limit:
        best, left = left[0], left[1:]
        kept.append(best)
        wide = np.minimum(x2[best], x2[left]) - np.maximum(x1[best], x1[left])
        high = np.minimum(y2[best], y2[left]) - np.maximum(y1[best], y1[left])
        shared = np.maximum(wide, 0.0) * np.maximum(high, 0.0)
        left = left[shared <= nms_iou * (areas[best] + areas[left] - shared)]
    return np.array(kept, dtype=np.intp)
