"""Scales an image to fit a detector's canvas."""

from __future__ import annotations

import cv2
import numpy as np

from ensemble.pyramid import Image, ImagePyramid


def letterbox(image: Image | ImagePyramid, height: int, width: int) -> tuple[Image, float]:
    """The image scaled to fit, top left on black: UINT8 [height, width, 3], and input pixels per image pixel.

    Linear, as the detectors' own code scales, from the mip level that this shrinks by less than 2. Both axes have
    exactly the returned factor, so that boxes divided by it are in image pixels; only an axis that would vanish
    (1 x 100,000) is given one pixel instead.
    """
    pyramid = ImagePyramid.of(image)
    factor = min(height / pyramid.image.shape[0], width / pyramid.image.shape[1])
    level, divisor = pyramid.level(factor)
    rows, columns = level.shape[:2]
    rest = factor * divisor
    if round(min(rows, columns) * rest) > 0:  # OpenCV rounds alike, and would scale by the rounded size if given it
        scaled = cv2.resize(level, None, fx=rest, fy=rest, interpolation=cv2.INTER_LINEAR)
    else:
        size = max(1, round(columns * rest)), max(1, round(rows * rest))
        scaled = cv2.resize(level, size, interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: scaled.shape[0], : scaled.shape[1]] = scaled
    return canvas, factor
