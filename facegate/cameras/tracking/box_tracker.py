"""Which box of this frame is which of the last ones: a filter and an assignment, nothing about faces.

The filter is OpenCV's Kalman filter with the real time since the frame before, for frames are dropped on purpose; the
assignment is SciPy's. Lengths inside are in sides of the box itself, so that near and far faces are followed alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[np.float64]

OVER_S = 3.0  # a box unseen for longer is another one's; who passes behind somebody is back within a second or two
GHOST_S = 0.5  # a box seen once and no more, as false detections are, is forgotten sooner
MAX_LIVE = 300  # boxes that a frame is compared with; it has 256 where not asked for more (contract.DEFAULT_MAX_FACES)

_NOISE = 0.05  # of a detected box's centre and size, in sides: YuNet's boxes shake by 2 to 5 % from frame to frame
_SPEED = 4.0  # of a face that is new, sides/s: walking past (1.4 m/s, a face being 0.16 m wide) is 9 at most
_ACCELERATION = 5.0  # sides/s²: from standing to walking in two seconds
_STEADY_S = 2.0  # how long a speed is kept, as a time constant: who is hidden is not sent out of the picture
_GROWTH = 0.5  # of a box's sides, as a share, in the root of a second
_GATE = 3.0  # standard deviations that a box may be off its prediction
_FARTHEST = 2.0  # sides; however unsure the prediction is, a box further off is rather another one's
_GROWN = 2.0  # a box twice as large or half as large as predicted is another one
_FAR = 1e6  # pixels; beyond any picture

_MEASURED = np.eye(4, 6)  # of x y width height and two speeds, the first four
_SHAKING = np.eye(4) * _NOISE**2
_UNKNOWN = np.diag([_NOISE**2] * 4 + [_SPEED**2] * 2)  # of a face that is new


@dataclass(frozen=True, slots=True)
class Matched:
    """Where a box was found to belong.

    `new`: never seen before. `gap_s` is the time since the track was last seen, `missed` how many frames have not shown
    it in between, and `overlap` the intersection over union with where it was expected or last seen, the better of
    both; 0, 0 and 1 where it is new.
    """

    track: int
    new: bool = True
    gap_s: float = 0.0
    missed: int = 0
    overlap: float = 1.0


class BoxTracker:
    """Follows boxes from frame to frame. Every box belongs to a track from its first frame on."""

    def __init__(self) -> None:
        self._live: dict[int, _Box] = {}
        self._count = 0
        self._now_s = -math.inf

    def update(self, media_s: float, boxes: Array) -> list[Matched]:
        """One for each of `boxes`, float [N, 4], x1 y1 x2 y2 in pixels, which are of the time `media_s`.

        Tracks are numbered from 1, and no number is used again. Time that runs backwards ends all tracks: what is
        shown next is another film.
        """
        if media_s < self._now_s:
            self._live.clear()
        step_s = media_s - self._now_s if self._live else 0.0
        self._now_s = media_s
        self._live = {track: box for track, box in self._live.items() if not box.over(media_s)}
        self._forget_the_oldest()
        step, noise = _motion(step_s)
        for box in self._live.values():
            box.predict(step, noise)

        found = np.clip(np.asarray(boxes, dtype=np.float64).reshape(-1, 4), -_FAR, _FAR)
        matched = self._match(media_s, found)
        for row in range(len(found)):
            if row not in matched:
                self._count += 1
                self._live[self._count] = _Box(media_s, found[row])
                matched[row] = Matched(self._count)
        return [matched[row] for row in range(len(found))]

    @property
    def live(self) -> dict[int, tuple[Array, Array]]:
        """For each track the box before and the box now, float [4] each; now is a guess where the box is not seen."""
        return {track: (box.before, box.now) for track, box in self._live.items()}

    @property
    def times(self) -> dict[int, tuple[float, float]]:
        """For each track of `live` when it was first and last seen, media seconds."""
        return {track: (box.first_s, box.seen_s) for track, box in self._live.items()}

    def _match(self, media_s: float, found: Array) -> dict[int, Matched]:
        """For the rows of `found` that are a followed box's, which box's; it takes them for itself."""
        if not len(found) or not self._live:
            return {}
        rows, columns = self._assign(found)
        tracks, boxes = list(self._live), list(self._live.values())
        tracks, boxes = [tracks[column] for column in columns], [boxes[column] for column in columns]
        places = np.array([[box.now, box.seen] for box in boxes]).reshape(-1, 2, 4)
        near = overlap(found[rows][:, None], places).max(axis=1).tolist()
        matched = {}
        for row, track, box, iou in zip(rows.tolist(), tracks, boxes, near, strict=True):
            matched[row] = Matched(track, False, media_s - box.seen_s, box.missed - 1, iou)
            box.take(media_s, found[row])
        return matched

    def _assign(self, found: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows of `found`, and the places of the followed boxes that they are."""
        expected = np.array([box.now for box in self._live.values()])
        reach = np.array([box.reach for box in self._live.values()])
        off, grown = _apart(found, expected)
        allowed = (off <= reach) & (grown <= math.log(_GROWN))
        cost = off + grown + (1 - overlap(found[:, None], expected[None]))
        never = 1e3  # dearer than all that is allowed, so that the most boxes are matched that can be
        rows, columns = linear_sum_assignment(np.where(allowed, cost, never))
        good = allowed[rows, columns]
        return rows[good], columns[good]

    def _forget_the_oldest(self) -> None:
        if len(self._live) > MAX_LIVE:
            newest = sorted(self._live, key=lambda track: self._live[track].seen_s)[-MAX_LIVE:]
            self._live = {track: self._live[track] for track in sorted(newest)}


class _Box:
    """A box that is followed: centre and sides, and the centre's velocity, in a Kalman filter."""

    def __init__(self, media_s: float, corners: Array) -> None:
        self.first_s = self.seen_s = media_s
        self.missed = 0
        self.seen = self.before = self.now = corners
        self._filter = cv2.KalmanFilter(6, 4, 0, cv2.CV_64F)
        self._filter.measurementMatrix, self._filter.measurementNoiseCov = _MEASURED, _SHAKING
        self._filter.errorCovPost = _UNKNOWN.copy()  # OpenCV takes the array itself, and writes into it
        self._filter.statePost = np.concatenate([_measured(corners), [0, 0]])[:, None]

    def over(self, media_s: float) -> bool:
        """Whether it has been unseen for too long."""
        patience = min(OVER_S, GHOST_S + self.seen_s - self.first_s) if self.missed > 1 else OVER_S
        return media_s - self.seen_s > patience

    @property
    def reach(self) -> float:
        """How far off the prediction its centre may be, sides."""
        return min(_FARTHEST, _GATE * math.sqrt(self._filter.errorCovPre[0, 0] + _NOISE**2))

    def predict(self, step: Array, noise: Array) -> None:
        """Moves on, as `_motion` says."""
        self._filter.transitionMatrix, self._filter.processNoiseCov = step, noise
        x, y, width, height = self._filter.predict()[:4, 0].tolist()
        width, height = max(1.0, width), max(1.0, height)
        self.before, self.now = self.now, np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        self.missed += 1  # until it is matched

    def take(self, media_s: float, corners: Array) -> None:
        """A detected box is this one."""
        self._filter.correct(_measured(corners)[:, None])
        self.seen_s, self.seen, self.now, self.missed = media_s, corners, corners, 0


def overlap(a: Array, b: Array) -> Array:
    """Intersection over union, 0-1, of boxes [..., 4] each; a[:, None] and b[None] give a matrix."""
    common = _shared(a, b)
    return np.asarray(common / np.maximum(_area(a) + _area(b) - common, 1e-9), dtype=np.float64)


def covered(a: Array, b: Array) -> Array:
    """What boxes [..., 4] each have in common, as a share of the smaller one, 0-1."""
    return np.asarray(_shared(a, b) / np.maximum(np.minimum(_area(a), _area(b)), 1e-9), dtype=np.float64)


def _shared(a: Array, b: Array) -> Array:
    """The area that boxes [..., 4] each have in common, square pixels."""
    wide = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    high = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    return np.asarray(np.maximum(wide, 0) * np.maximum(high, 0), dtype=np.float64)


def _area(boxes: Array) -> Array:
    return _shared(boxes, boxes)


def _motion(step_s: float) -> tuple[Array, Array]:
    """The filter's transition over `step_s` seconds and its noise, [6, 6] each, of x y width height and two speeds."""
    step = np.eye(6)
    step[4, 4] = step[5, 5] = math.exp(-step_s / _STEADY_S)
    step[0, 4] = step[1, 5] = _STEADY_S * (1 - step[4, 4])
    noise = np.zeros((6, 6))
    noise[:2, :2] = np.eye(2) * step_s**4 / 4
    noise[:2, 4:] = noise[4:, :2] = np.eye(2) * step_s**3 / 2
    noise[4:, 4:] = np.eye(2) * step_s**2
    noise *= _ACCELERATION**2
    noise[2:4, 2:4] = np.eye(2) * _GROWTH**2 * step_s
    return step, noise


def _apart(a: Array, b: Array) -> tuple[Array, Array]:
    """How far apart boxes' centres are, in their mean side, and how much they differ in size, as |log|; [N, M] each."""
    a, b = _measured(a), _measured(b)
    side_a, side_b = np.sqrt(a[:, 2] * a[:, 3])[:, None], np.sqrt(b[:, 2] * b[:, 3])[None]
    far = np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1])
    return far / ((side_a + side_b) / 2), np.abs(np.log(side_a) - np.log(side_b))


def _measured(corners: Array) -> Array:
    """Centre x and y, width and height of boxes [..., 4], at least a pixel."""
    low, high = corners[..., :2], corners[..., 2:]
    return np.concatenate([(low + high) / 2, np.maximum(1.0, high - low)], axis=-1)
