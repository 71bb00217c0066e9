"""A cutout made ready to be drawn often, at any size and place. Needs OpenCV: the extra `draw`."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.cameras.synthetic.cut_faces import Cutout
from facegate_client.results import Box

_LEAST_BLUR = 0.2  # pixels; a Gaussian's sigma below which nothing can be seen of it


class Sprite:
    """A cutout, halved again and again, from the size at which its face is `highest` pixels high.

    Drawing takes the smallest that is at least as large as what is drawn: bilinear interpolation is right for no more
    than a halving.
    """

    def __init__(self, cutout: Cutout, highest: float) -> None:
        self._cutout = cutout
        scale = min(1.0, highest / cutout.face_size[1])
        image = np.dstack([cutout.pixels, cutout.mask])
        self._levels: list[NDArray[np.uint8]] = []
        while not self._levels or min(image.shape[:2]) > 8:
            wide, high = (max(2, round(side * scale)) for side in (cutout.pixels.shape[1], cutout.pixels.shape[0]))
            image = np.asarray(cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA), np.uint8)
            image[[0, -1], :, 3] = image[:, [0, -1], 3] = 0  # so that no colour of outside is drawn in at the edges
            self._levels.append(image.copy())
            scale /= 2

    def outline(self, box: Box) -> Box:
        """Where the whole cutout is, when its face is at `box`; x1 y1 x2 y2, pixels."""
        scale, x, y = self._place(box)
        return x, y, x + scale * self._cutout.pixels.shape[1], y + scale * self._cutout.pixels.shape[0]

    def covers(self, box: Box, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the points (any shape, pixels of the scene) are hidden by it, when its face is at `box`."""
        scale, left, top = self._place(box)
        height, width = self._cutout.mask.shape
        column, row = np.floor((x - left) / scale).astype(int), np.floor((y - top) / scale).astype(int)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        shown = self._cutout.mask[row.clip(0, height - 1), column.clip(0, width - 1)] > 127
        return np.asarray(inside & shown)

    def draw(self, picture: NDArray[np.uint8], box: Box, blur: float) -> None:
        """Draws it into `picture` (uint8 [h, w, 3]), its face at `box`, blurred by a Gaussian of sigma `blur`."""
        x1, y1, x2, y2 = self.outline(box)
        left, top = max(0, math.floor(x1)), max(0, math.floor(y1))
        right, bottom = min(picture.shape[1], math.ceil(x2)), min(picture.shape[0], math.ceil(y2))
        if right <= left or bottom <= top:
            return
        image = next((each for each in reversed(self._levels) if each.shape[0] >= y2 - y1), self._levels[0])
        across, along = (x2 - x1) / image.shape[1], (y2 - y1) / image.shape[0]
        # Pixel i's centre lies at i + 0.5.
        move = np.array([[across, 0, x1 - left + across / 2 - 0.5], [0, along, y1 - top + along / 2 - 0.5]])
        drawn = cv2.warpAffine(image, move, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
        if blur >= _LEAST_BLUR:
            drawn = cv2.GaussianBlur(drawn, (0, 0), blur)
        shown = drawn[..., 3].astype(np.float32)
        behind = picture[top:bottom, left:right]
        picture[top:bottom, left:right] = cv2.blendLinear(
            cv2.cvtColor(drawn, cv2.COLOR_BGRA2BGR), np.ascontiguousarray(behind), shown, 255 - shown
        )

    def _place(self, box: Box) -> tuple[float, float, float]:
        """The scale, and where the cutout's left upper corner is."""
        scale = (box[3] - box[1]) / self._cutout.face_size[1]
        return scale, box[0] - scale * self._cutout.box[0], box[1] - scale * self._cutout.box[1]
