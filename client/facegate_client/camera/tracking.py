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
MAX_LIVE = 2048  # boxes followed at a time, twice what a frame may hold (contract.MAX_FACES_LIMIT)

_NOISE = 0.05  # of a detected box's centre and size, in sides: YuNet's boxes shake by 2 to 5 % from frame to frame
_SPEED = 4.0  # of a face that is new, sides/s: walking past (1.4 m/s, a face being 0.16 m wide) is 9 at most
_ACCELERATION = 5.0  # sides/s²: from standing to walking in two seconds
_STEADY_S = 2.0  # how long a speed is kept, as a time constant: who is hidden is not sent out of the picture
_GROWTH = 0.5  # of a box's sides, as a share, in the root of a second
_GATE = 3.0  # standard deviations that a box may be off its prediction
_FARTHEST = 2.0  # sides; however unsure the prediction is, a box further off is rather another one's
_GROWN = 2.0  # a box twice as large or half as large as predicted is another one
_FAR = 1e6  # pixels; beyond any picture


@dataclass(frozen=True, slots=True)
class Match:
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

    def update(self, media_s: float, boxes: Array) -> list[Match]:
        """One match for each of `boxes`, float [N, 4], x1 y1 x2 y2 in pixels, which are of the time `media_s`.

        Tracks are numbered from 1, and no number is used again. Time that runs backwards ends all tracks: what is
        shown next is another film.
        """
        if media_s < self._now_s:
            self._live.clear()
        step_s = media_s - self._now_s if self._live else 0.0
        self._now_s = media_s
        self._live = {track: box for track, box in self._live.items() if not box.over(media_s)}
        for box in self._live.values():
            box.predict(step_s)

        found = np.clip(np.asarray(boxes, dtype=np.float64).reshape(-1, 4), -_FAR, _FAR)
        tracks = list(self._live)
        matches: list[Match | None] = [None] * len(found)
        for row, column in self._assign(found):
            matches[row] = self._live[tracks[column]].match(tracks[column], media_s, found[row])
        for row, match in enumerate(matches):
            if match is None:
                self._count += 1
                self._live[self._count] = _Box(media_s, found[row])
                matches[row] = Match(self._count)
        self._forget_the_oldest()
        return [match for match in matches if match is not None]

    @property
    def live(self) -> dict[int, tuple[Array, Array]]:
        """For each track the box before and the box now, float [4] each; now is a guess where the box is not seen."""
        return {track: (box.before, box.now) for track, box in self._live.items()}

    def _assign(self, found: Array) -> list[tuple[int, int]]:
        if not len(found) or not self._live:
            return []
        expected = np.array([box.now for box in self._live.values()])
        reach = np.array([box.reach for box in self._live.values()])
        off, grown = _apart(found, expected)
        allowed = (off <= reach) & (grown <= math.log(_GROWN))
        cost = off + grown + (1 - overlap(found, expected))
        never = 1e3  # dearer than all that is allowed, so that the most boxes are matched that can be
        rows, columns = linear_sum_assignment(np.where(allowed, cost, never))
        return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]

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
        self._filter.measurementMatrix = np.eye(4, 6)
        self._filter.measurementNoiseCov = np.eye(4) * _NOISE**2
        self._filter.errorCovPost = np.diag([_NOISE**2] * 4 + [_SPEED**2] * 2)
        self._filter.statePost = np.concatenate([_measured(corners), [0, 0]])[:, None]

    def over(self, media_s: float) -> bool:
        """Whether it has been unseen for too long."""
        patience = min(OVER_S, GHOST_S + self.seen_s - self.first_s) if self.missed > 1 else OVER_S
        return media_s - self.seen_s > patience

    @property
    def reach(self) -> float:
        """How far off the prediction its centre may be, sides."""
        return min(_FARTHEST, _GATE * math.sqrt(self._filter.errorCovPre[0, 0] + _NOISE**2))

    def predict(self, step_s: float) -> None:
        """Moves on by the time that has gone by."""
        step = np.eye(6)
        step[4, 4] = step[5, 5] = math.exp(-step_s / _STEADY_S)
        step[0, 4] = step[1, 5] = _STEADY_S * (1 - step[4, 4])
        noise = np.zeros((6, 6))
        noise[:2, :2] = np.eye(2) * step_s**4 / 4
        noise[:2, 4:] = noise[4:, :2] = np.eye(2) * step_s**3 / 2
        noise[4:, 4:] = np.eye(2) * step_s**2
        noise *= _ACCELERATION**2
        noise[2:4, 2:4] = np.eye(2) * _GROWTH**2 * step_s
        self._filter.transitionMatrix, self._filter.processNoiseCov = step, noise
        x, y, width, height = self._filter.predict()[:4, 0]
        width, height = max(1.0, width), max(1.0, height)
        self.before, self.now = self.now, np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        self.missed += 1  # until it is matched

    def match(self, track: int, media_s: float, corners: Array) -> Match:
        """Takes a detected box for itself."""
        near = float(overlap(corners[None], np.stack([self.now, self.seen])).max())
        match = Match(track, False, media_s - self.seen_s, self.missed - 1, near)
        self._filter.correct(_measured(corners)[:, None])
        self.seen_s, self.seen, self.now, self.missed = media_s, corners, corners, 0
        return match


def overlap(a: Array, b: Array) -> Array:
    """Intersection over union, 0-1, [N, M], of boxes [N, 4] and [M, 4]."""
    common = shared(a, b)
    both = _area(a)[:, None] + _area(b)[None] - common
    return np.asarray(common / np.maximum(both, 1e-9), dtype=np.float64)


def shared(a: Array, b: Array) -> Array:
    """The area that boxes [N, 4] and [M, 4] have in common, square pixels, [N, M]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.prod(np.clip(high - low, 0, None), axis=2), dtype=np.float64)


def covered(a: Array, b: Array) -> Array:
    """What boxes [N, 4] and [M, 4] have in common, as a share of the smaller one, 0-1, [N, M]."""
    smaller = np.minimum(_area(a)[:, None], _area(b)[None])
    return np.asarray(shared(a, b) / np.maximum(smaller, 1e-9), dtype=np.float64)


def _area(boxes: Array) -> Array:
    return np.asarray(np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1), dtype=np.float64)


def _apart(a: Array, b: Array) -> tuple[Array, Array]:
    """How far apart boxes' centres are, in their mean side, and how much they differ in size, as |log|; [N, M] each."""
    a, b = np.array([_measured(box) for box in a]), np.array([_measured(box) for box in b])
    side_a, side_b = np.sqrt(a[:, 2] * a[:, 3])[:, None], np.sqrt(b[:, 2] * b[:, 3])[None]
    far = np.linalg.norm(a[:, None, :2] - b[None, :, :2], axis=2)
    return far / ((side_a + side_b) / 2), np.abs(np.log(side_a / side_b))


def _measured(corners: Array) -> Array:
    x1, y1, x2, y2 = corners
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, max(1.0, x2 - x1), max(1.0, y2 - y1)])
