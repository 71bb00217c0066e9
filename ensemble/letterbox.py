"""Scales an image to fit a detector's canvas."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def letterbox(image: Image, height: int, width: int) -> tuple[Image, float]:
    """The image scaled to fit, top left on black: UINT8 [height, width, 3], and input pixels per image pixel.

    Linear, as the detectors' own code scales. Both axes have exactly the returned factor, so that boxes divided by it
    are in image pixels; only an axis that would vanish (1 x 100,000) is given one pixel instead.
    """
    rows, columns = image.shape[:2]
    factor = min(height / rows, width / columns)
    if round(min(rows, columns) * factor) > 0:  # OpenCV rounds alike, and would scale by the rounded size if given it
        scaled = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    else:
        size = max(1, round(columns * factor)), max(1, round(rows * factor))
        scaled = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: scaled.shape[0], : scaled.shape[1]] = scaled
    return canvas, factor
