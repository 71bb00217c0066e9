"""How well tracks follow faces whose truth is known, and what they say of them. Pure: no net, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from facegate.cameras.sighting import Sighting
from facegate.cameras.synthetic.scene import Truth
from facegate_client.results import Box

LEAST_IOU = 0.4
"""At least so much intersection over union makes a sighting one of a face."""

HIDDEN = 0.5
"""A face is occluded where less of its box than this is visible: it need not be found."""

UNSEEN = 0.1
"""A face of whose box less than this is visible cannot have been sighted."""

ScoredFrame = tuple[Sequence[Truth], Sequence[Sighting]]


@dataclass(slots=True)
class Split:
    """A count, by what the face went through since it was matched before: the first of these that applies."""

    absent: int = 0
    crossing: int = 0
    occluded: int = 0
    plain: int = 0

    def add(self, kind: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)


@dataclass(slots=True)
class TrackScore:
    """Counts over a scene.

    `face_frames`: sightings matched to a face; `switches` of them have another track than the face's match before (as
    in CLEAR MOT, Bernardin and Stiefelhagen 2008). `absent`, after the face had left the picture, is no mistake: a
    person who comes back is a new track. `missed` are faces at least HIDDEN visible that no sighting matched, `false`
    sightings that matched no face, `false_tracks` the tracks that never did, `tracks` all of them.
    """

    face_frames: Split = field(default_factory=Split)
    switches: Split = field(default_factory=Split)
    missed: int = 0
    false: int = 0
    tracks: int = 0
    false_tracks: int = 0


def score_tracks(frames: Iterable[ScoredFrame]) -> TrackScore:
    """What the tracks of a scene's frames, in order, are worth. Frames may be left out."""
    score = TrackScore()
    last: dict[int, int] = {}  # face: track
    since: dict[int, set[str]] = {}  # face: what it went through since it was matched
    tracks: set[int] = set()
    true_tracks: set[int] = set()
    for truths, sightings in frames:
        here = {truth.face for truth in truths}
        for face in last.keys() - here:
            since[face].add("absent")
        for truth in truths:
            since.setdefault(truth.face, set()).update(_state(truth))
        matched = match(truths, sightings, last)
        for face, at in matched.items():
            track, kind = sightings[at].track, _kind(since[face])
            score.face_frames.add(kind)
            if last.get(face, track) != track:
                score.switches.add(kind)
            last[face] = track
            true_tracks.add(track)
            since[face] = _state(next(truth for truth in truths if truth.face == face))
        tracks |= {sighting.track for sighting in sightings}
        score.missed += sum(truth.visible >= HIDDEN and truth.face not in matched for truth in truths)
        score.false += len(sightings) - len(matched)
    score.tracks, score.false_tracks = len(tracks), len(tracks - true_tracks)
    return score


@dataclass(slots=True)
class VerdictScore:
    """What was said of one face: its sightings by verdict, and how often a verdict was another than the last one."""

    spoof: bool
    real: int = 0
    fake: int = 0
    not_checked: int = 0
    changes: int = 0


def score_verdicts(frames: Iterable[ScoredFrame]) -> dict[int, VerdictScore]:
    """By face. A time of "not checked" between two equal verdicts is no change."""
    scores: dict[int, VerdictScore] = {}
    said: dict[int, bool] = {}
    for truths, sightings in frames:
        spoofs = {truth.face: truth.spoof for truth in truths}
        for face, at in match(truths, sightings, {}).items():
            score = scores.setdefault(face, VerdictScore(spoofs[face]))
            verdict = sightings[at].is_real
            if verdict is None:
                score.not_checked += 1
                continue
            score.real += verdict
            score.fake += not verdict
            score.changes += said.get(face, verdict) != verdict
            said[face] = verdict
    return scores


def match(truths: Sequence[Truth], sightings: Sequence[Sighting], last: Mapping[int, int]) -> dict[int, int]:
    """Faces to places in `sightings`, each at most once.

    As in CLEAR MOT: whom a face was matched to before (`last`, by track) it keeps while LEAST_IOU holds; the rest is
    matched for the largest sum of intersection over union.
    """
    matched: dict[int, int] = {}
    seen = [truth for truth in truths if truth.visible >= UNSEEN]
    for truth in seen:
        for at, sighting in enumerate(sightings):
            kept = last.get(truth.face) == sighting.track and iou(truth.box, sighting.face.box) >= LEAST_IOU
            if kept and at not in matched.values():
                matched[truth.face] = at
    rest = [truth for truth in seen if truth.face not in matched]
    free = [at for at in range(len(sightings)) if at not in matched.values()]
    if rest and free:
        ious = np.array([[iou(truth.box, sightings[at].face.box) for at in free] for truth in rest])
        ious[ious < LEAST_IOU] = 0
        for row, column in zip(*linear_sum_assignment(ious, maximize=True), strict=True):
            if ious[row, column] > 0:
                matched[rest[row].face] = free[column]
    return matched


def iou(a: Box, b: Box) -> float:
    """Intersection over union."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0.0) * max(high, 0.0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _state(truth: Truth) -> set[str]:
    crossing, occluded = {"crossing"} if truth.crossing else set(), {"occluded"} if truth.visible < HIDDEN else set()
    return crossing | occluded


def _kind(states: set[str]) -> str:
    return next((kind for kind in ("absent", "crossing", "occluded") if kind in states), "plain")
