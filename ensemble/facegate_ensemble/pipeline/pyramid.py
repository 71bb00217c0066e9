"""An image's mip levels, from which it is shrunk without aliasing."""

from __future__ import annotations

from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class ImagePyramid:
    """An image, UINT8 [H, W, 3], and its mip levels, each half as wide and as high as the one before.

    Linear interpolation reads two pixels of an axis. Shrinking by more than 2 with it skips pixels, so that noise and
    fine patterns turn into coarse ones. A level's pixel is the mean of 2 x 2 pixels of the level before. Each level is
    computed once, when it is first needed, and serves all faces of the image. Threads may share a pyramid.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self._levels = [image]
        self._lock = Lock()

    @classmethod
    def of(cls, image: Image | ImagePyramid) -> ImagePyramid:
        """The pyramid of an image; a pyramid is returned as it is."""
        return image if isinstance(image, cls) else cls(image)  # type: ignore[arg-type]

    def level(self, scale: float) -> tuple[Image, int]:
        """The smallest level that is not enlarged when the image is drawn at `scale` (output pixels per image pixel).

        Returns the level, UINT8 [H // n, W // n, 3], and n, a power of two; at a scale above 0.5 these are the image
        itself and 1. Drawing the level shrinks it by less than 2. Its pixel (x, y) is the mean of n x n pixels of the
        image, the first of which is (n x, n y). Rows and columns left over at the bottom and the right are dropped. An
        image of one row or one column is not halved.
        """
        number = 0
        with self._lock:
            while scale * 2 ** (number + 1) <= 1 and min(self._levels[number].shape[:2]) > 1:
                number += 1
                if number == len(self._levels):
                    self._levels.append(_halved(self._levels[-1]))
            return self._levels[number], 2**number


def _halved(image: Image) -> Image:
    height, width = image.shape[0] // 2, image.shape[1] // 2
    even = image[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def stretched(image: Image, part: tuple[float, float, float, float], width: int, height: int) -> Image:
    """UINT8 [height, width, 3]: `part` of an image, x1 y1 x2 y2 in its pixels and fractions of them, linear.

    For parts that OpenCV's resize does not take; it costs twice as much.
    """
    x1, y1, x2, y2 = part
    across, down = (x2 - x1) / width, (y2 - y1) / height
    # From a pixel's centre in the result to the place in the image; OpenCV's first centre is at 0.
    matrix = np.array([[across, 0, x1 + (across - 1) / 2], [0, down, y1 + (down - 1) / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(drawn, np.uint8)
