"""Faces cut from pictures, to be put into a scene. Needs OpenCV: the extra `draw`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegate_client.images import check_frame
from facegate_client.results import Box

CONTEXT = 4.0
"""How far about a face a picture is taken along, in sizes of its box: the wider of the liveness nets' two crops."""

_HEAD = (0.40, 0.50, 0.40, 0.20)  # beyond the box: left, up, right, down, in its width and height: hair, ears, chin
_FEATHER = 0.15  # the outer part of the head's ellipse over which it fades, in radii


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """A face and what was cut out around it.

    `pixels` are uint8 [height, width, 3], BGR; `mask`, uint8 [height, width], is 255 where they are shown and 0 where
    what is behind them is; `box` is the face's (x1 y1 x2 y2 in `pixels`). `spoof`: what is shown is a picture or a
    screen, not a person.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    box: Box
    spoof: bool = False

    @property
    def face_size(self) -> tuple[float, float]:
        """The face's width and height, pixels."""
        return self.box[2] - self.box[0], self.box[3] - self.box[1]


def cut_head(picture: NDArray[np.uint8], box: Box) -> Cutout:
    """The head of the face `box` (x1 y1 x2 y2) of `picture` (uint8 [h, w, 3], BGR), an ellipse with a soft edge.

    Its surroundings are gone, and with them what the liveness nets look at: their verdict on it means nothing. Raises
    BadImage on another kind of array and ValueError where the box holds no pixel of it.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    left, up, right, down = _HEAD
    x1, y1 = box[0] - left * width, box[1] - up * height
    x2, y2 = box[2] + right * width, box[3] + down * height
    pixels, (x, y) = _cut(picture, (x1, y1, x2, y2))
    rows, columns = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
    across = (columns + 0.5 + x - (x1 + x2) / 2) / ((x2 - x1) / 2)
    along = (rows + 0.5 + y - (y1 + y2) / 2) / ((y2 - y1) / 2)
    mask = np.clip((1 - np.hypot(across, along)) / _FEATHER, 0, 1) * 255
    return Cutout(pixels, mask.astype(np.uint8), _moved(box, -x, -y))


def cut_picture(picture: NDArray[np.uint8], box: Box, *, spoof: bool) -> Cutout:
    """A rectangle of `picture` (uint8 [h, w, 3], BGR): the face `box` (x1 y1 x2 y2) and its context.

    As far as the picture goes and the liveness nets look. So a spoof keeps what gives it away, a real face what speaks
    for it. Raises as `cut_head` does.
    """
    middle_x, middle_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_x, half_y = (box[2] - box[0]) * CONTEXT / 2, (box[3] - box[1]) * CONTEXT / 2
    pixels, (x, y) = _cut(picture, (middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y))
    return Cutout(pixels, np.full(pixels.shape[:2], 255, np.uint8), _moved(box, -x, -y), spoof)


def _cut(picture: NDArray[np.uint8], box: Box) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """What of `picture` lies in `box`, and where its left upper corner was."""
    check_frame(picture, "picture")
    if not (all(map(math.isfinite, box)) and box[0] < box[2] and box[1] < box[3]):
        raise ValueError(f"box {box}: is empty or not finite")
    height, width = picture.shape[:2]
    x1, y1 = max(0, int(box[0])), max(0, int(box[1]))
    x2, y2 = min(width, int(box[2]) + 1), min(height, int(box[3]) + 1)
    if x2 <= x1 or y2 <= y1:
        raise ValueError(f"box {box}: holds nothing of a picture of {width}x{height}")
    return picture[y1:y2, x1:x2].copy(), (x1, y1)


def _moved(box: Box, x: float, y: float) -> Box:
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y
