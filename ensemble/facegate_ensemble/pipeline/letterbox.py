"""Scales an image to fit a detector's canvas."""

from __future__ import annotations

import cv2
import numpy as np

from facegate_ensemble.pipeline.pyramid import Image, ImagePyramid, stretched


def letterbox(image: Image | ImagePyramid, height: int, width: int) -> tuple[Image, float]:
    """The image scaled to fit, top left on black: UINT8 [height, width, 3], and input pixels per image pixel.

    Linear, as the detectors' own code scales, from the mip level that this shrinks by less than 2. Both axes have
    exactly the returned factor, so that boxes divided by it are in image pixels; only an axis that would vanish
    (1 x 100,000) is given one pixel instead.
    """
    pyramid = ImagePyramid.of(image)
    factor = min(height / pyramid.image.shape[0], width / pyramid.image.shape[1])
    level, n = pyramid.level(factor)
    scaled = _scaled(level, factor * n)
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: scaled.shape[0], : scaled.shape[1]] = scaled
    return canvas, factor


def _scaled(image: Image, factor: float) -> Image:
    rows, columns = image.shape[:2]
    size = round(columns * factor), round(rows * factor)
    if size == (columns, rows) and factor < 1:  # OpenCV would not scale it at all
        return stretched(image, (0, 0, columns / factor, rows / factor), *size)
    if min(size) > 0:  # OpenCV rounds alike, and would scale by the rounded size if given it
        scaled = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    else:
        scaled = cv2.resize(image, (max(1, size[0]), max(1, size[1])), interpolation=cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)
