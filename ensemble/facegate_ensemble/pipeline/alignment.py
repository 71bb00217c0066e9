"""Aligned crops: a face's five landmarks moved onto the recognizer's template."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate_ensemble.pipeline.pyramid import Image, ImagePyramid

LEAST_SPREAD = 1e-2
"""Pixels between the landmarks that are furthest apart; closer ones coincide, and no crop can be aligned by them."""


def alignable(landmarks: NDArray[np.float32]) -> NDArray[np.bool_]:
    """BOOL [N]: whether a face can be aligned by its `landmarks` [N, 5, 2]. NaN cannot."""
    with np.errstate(invalid="ignore"):
        spread: NDArray[np.bool_] = np.ptp(landmarks, axis=1).max(axis=1, initial=0.0) > LEAST_SPREAD
    return spread


def similarity(source: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    """FP64 [2, 3]: the rotation, uniform scale and shift that best move points `source` [P, 2] onto `target` [P, 2].

    Least squares in the complex plane, where such a move is w = a z + b: with both sets centred,
    a = sum(conj(z) w) / sum(|z|^2). It cannot mirror. Raises ValueError when the source points coincide.
    """
    z = [complex(x, y) for x, y in source.tolist()]  # five points: less work than numpy's calls
    w = [complex(x, y) for x, y in target.tolist()]
    z_mean, w_mean = sum(z) / len(z), sum(w) / len(w)
    spread = sum(abs(point - z_mean) ** 2 for point in z)
    if not spread > 1e-6:
        raise ValueError("the landmarks coincide")
    a = sum((p - z_mean).conjugate() * (q - w_mean) for p, q in zip(z, w, strict=True)) / spread
    b = w_mean - a * z_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def aligned_crops(
    image: Image | ImagePyramid,
    landmarks: NDArray[np.float32],
    template: NDArray[np.float32],
    height: int,
    width: int,
) -> NDArray[np.uint8]:
    """UINT8 [N, height, width, 3]: each face of `landmarks` [N, 5, 2] (image pixels) cut from `image` [H, W, 3].

    `template` [5, 2] is in the crop's pixels. What lies outside the image is black. Linear, from the mip level that
    this shrinks by less than 2.
    """
    pyramid = ImagePyramid.of(image)
    crops = np.empty((len(landmarks), height, width, 3), dtype=np.uint8)
    for crop, points in zip(crops, landmarks, strict=True):
        matrix = similarity(points, template)
        level, n = pyramid.level(math.hypot(matrix[0, 0], matrix[1, 0]))
        # OpenCV's coordinates are those of pixels' centres: x of the level is at n x + (n - 1) / 2 of the image.
        matrix[:, 2] += matrix[:, :2].sum(axis=1) * (n - 1) / 2
        matrix[:, :2] *= n
        cv2.warpAffine(level, matrix, (width, height), dst=crop)
    return crops
