"""A made scene: faces that move over a background, and the truth about each of them.

Where a face is follows from the time alone (`Wave`, `Path`), so that any frame can be asked for and the scene never
ends; how it looks comes from its cutout. Needs OpenCV: the extra `draw`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.cameras.synthetic.cut_faces import Cutout
from facegate.cameras.synthetic.sprite import Sprite
from facegate_client.contract import size_error
from facegate_client.results import Box

CROSSING = 0.2
"""Of the smaller box: more overlap than this is a crossing."""

CROSSING_FRAMES = 3
"""So many frames before and after an overlap belong to the crossing."""

_GRID = 16  # points a side, at which it is looked up how much of a face can be seen
_LEAST_HEIGHT = 4.0  # pixels; a face is drawn no smaller


@dataclass(frozen=True, slots=True)
class Wave:
    """A number that swings about `mean` by `swing`, once in `period_s` seconds, `phase` periods ahead."""

    mean: float
    swing: float = 0.0
    period_s: float = 1.0
    phase: float = 0.0

    def __call__(self, seconds: float) -> float:
        return self.mean + self.swing * math.sin(2 * math.pi * (seconds / self.period_s + self.phase))


@dataclass(frozen=True, slots=True)
class Path:
    """The way of a face's box: its centre and height, pixels of the scene, and the blur's sigma, pixels, over time."""

    x: Wave
    y: Wave
    height: Wave
    blur: Wave = Wave(0.0)


@dataclass(frozen=True, slots=True)
class Actor:
    """A face and its way. In a scene, later actors pass in front of earlier ones."""

    cutout: Cutout
    path: Path


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a face in a frame, where its box touches the frame.

    `face` is the actor's number from 0. `box` (x1 y1 x2 y2, pixels) may reach beyond the frame; `visible`, 0-1, is how
    much of it is neither outside nor behind something. `crossing`: it overlaps another face's box by more than CROSSING
    of the smaller one, now or within CROSSING_FRAMES frames. `blur` is a Gaussian's sigma, pixels.
    """

    face: int
    box: Box
    visible: float
    crossing: bool
    blur: float
    spoof: bool


class Scene:
    """Faces in front of a background, `size` = (width, height), `fps` frames a second of its own time.

    `pillars` (x1 y1 x2 y2, whole pixels, inside the frame) stand in front of all faces. The same arguments give the
    same pixels; `seed` is the background's. Raises ValueError on a size, a rate or a pillar that cannot be drawn.
    """

    def __init__(
        self,
        size: tuple[int, int],
        fps: float,
        actors: Sequence[Actor],
        *,
        seed: int = 0,
        pillars: Sequence[tuple[int, int, int, int]] = (),
    ) -> None:
        if min(size) < 1:
            raise ValueError(f"size: expected a width and a height above zero, got {size[0]}x{size[1]}")
        if error := size_error(*size):
            raise ValueError(f"size: {error}")
        if not 0 < fps < math.inf:
            raise ValueError(f"fps: expected a positive number, got {fps}")
        for x1, y1, x2, y2 in pillars:
            if not (0 <= x1 < x2 <= size[0] and 0 <= y1 < y2 <= size[1]):
                raise ValueError(f"pillars: {(x1, y1, x2, y2)} is not inside {size[0]}x{size[1]} pixels")
        self.size, self.fps = size, fps
        self._actors, self._pillars = tuple(actors), tuple(pillars)
        self._sprites = [Sprite(actor.cutout, _highest(actor.path)) for actor in actors]
        self._background = _background(size, seed)
        stuff = _background(size, seed + 1) if pillars else self._background
        self._front = [((x1, y1, x2, y2), stuff[y1:y2, x1:x2]) for x1, y1, x2, y2 in pillars]

    def truth(self, index: int) -> list[Truth]:
        """Of each face whose box touches frame `index`."""
        boxes = self._boxes(index)
        near = range(max(0, index - CROSSING_FRAMES), index + CROSSING_FRAMES + 1)
        crossing = set().union(*(self._overlapping(boxes if at == index else self._boxes(at)) for at in near))
        return [
            Truth(
                face,
                box,
                self._visible(face, boxes),
                face in crossing,
                _blur(actor.path, index / self.fps),
                actor.cutout.spoof,
            )
            for face, (actor, box) in enumerate(zip(self._actors, boxes, strict=True))
            if self._touches(box)
        ]

    def render(self, index: int) -> NDArray[np.uint8]:
        """Frame `index`: uint8 [height, width, 3], BGR, the caller's own."""
        picture = self._background.copy()
        for actor, sprite, box in zip(self._actors, self._sprites, self._boxes(index), strict=True):
            if self._touches(sprite.outline(box)):
                sprite.draw(picture, box, _blur(actor.path, index / self.fps))
        for (x1, y1, x2, y2), pixels in self._front:
            picture[y1:y2, x1:x2] = pixels
        return picture

    def _boxes(self, index: int) -> list[Box]:
        return [_box(actor, index / self.fps) for actor in self._actors]

    def _touches(self, box: Box) -> bool:
        width, height = self.size
        return box[0] < width and box[2] > 0 and box[1] < height and box[3] > 0

    def _overlapping(self, boxes: list[Box]) -> set[int]:
        seen = [face for face, box in enumerate(boxes) if self._touches(box)]
        pairs = [(a, b) for a in seen for b in seen if a < b and overlap(boxes[a], boxes[b]) > CROSSING]
        return {face for pair in pairs for face in pair}

    def _visible(self, face: int, boxes: list[Box]) -> float:
        """How much of the face's box can be seen, at _GRID x _GRID points of it."""
        x1, y1, x2, y2 = boxes[face]
        steps = (np.arange(_GRID) + 0.5) / _GRID
        x, y = np.meshgrid(x1 + (x2 - x1) * steps, y1 + (y2 - y1) * steps)
        seen = (x >= 0) & (x < self.size[0]) & (y >= 0) & (y < self.size[1])
        for sprite, box in zip(self._sprites[face + 1 :], boxes[face + 1 :], strict=True):
            if overlap(sprite.outline(box), boxes[face]) > 0:
                seen &= ~sprite.covers(box, x, y)
        for left, top, right, bottom in self._pillars:
            seen &= ~((x >= left) & (x < right) & (y >= top) & (y < bottom))
        return float(seen.mean())


def overlap(a: Box, b: Box) -> float:
    """The area that two boxes share, in areas of the smaller one; 0 where they share none."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def _box(actor: Actor, seconds: float) -> Box:
    face_width, face_height = actor.cutout.face_size
    high = max(actor.path.height(seconds), _LEAST_HEIGHT)
    wide = high * face_width / face_height
    x, y = actor.path.x(seconds), actor.path.y(seconds)
    return x - wide / 2, y - high / 2, x + wide / 2, y + high / 2


def _blur(path: Path, seconds: float) -> float:
    return max(path.blur(seconds), 0.0)


def _highest(path: Path) -> float:
    return max(path.height.mean + abs(path.height.swing), _LEAST_HEIGHT)


def _background(size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Soft greyish blotches and fine grain, in which no detector finds a face."""
    random = np.random.default_rng(seed)
    width, height = size
    blotches = random.uniform(60, 170, (4, 6, 1)) + random.uniform(-15, 15, (4, 6, 3))
    grain = random.normal(0, 4, (height, width, 1))
    soft = cv2.resize(blotches, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(soft + grain, 0, 255), np.uint8)
