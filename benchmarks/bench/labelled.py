"""The labelled pictures of FACEGATE_MIRROR/images, and how far two ways to analyze them are apart."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import COUNTED, labelled_faces
from facegate.build.checks.gate import same_faces
from facegate_client.imaging.image import decode
from facegate_ensemble.pipeline.detection import NO_FACES, Faces
from facegate_ensemble.pipeline.pipeline import Analysis

Seen = Mapping[str, Analysis]
"""What is said of each picture, by its name."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A labelled picture, `height` x `width` pixels upright. `boxes` FP32 [N, 4], x1 y1 x2 y2, are its faces; where
    there are none, its label is of `best` faces without a place: they are taken to be the best that the default
    finds."""

    name: str
    data: bytes
    height: int
    width: int
    boxes: NDArray[np.float32] = field(default_factory=lambda: NO_FACES.boxes)
    best: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos by name, and whether they are of one person."""

    first: str
    second: str
    same: bool


def labelled_photos(folder: Path) -> list[Photo]:
    """Those of the pictures in `folder` that have a label."""
    boxes = {name: np.array(faces, np.float32) for name, faces in labelled_faces(folder / "detection")}
    one = {name: 1 for part in ("liveness", "verification") for name in os.listdir(folder / part)}
    best = COUNTED | one
    found = []
    for path in sorted(
        each for part in ("detection", "liveness", "verification") for each in (folder / part).iterdir()
    ):
        if path.suffix in (".jpg", ".png") and (path.name in boxes or path.name in best):
            data = path.read_bytes()
            height, width = decode(data).shape[:2]
            faces = boxes.get(path.name, NO_FACES.boxes)
            found.append(Photo(path.name, data, height, width, faces, best.get(path.name, 0)))
    return found


def labelled_pairs(folder: Path) -> list[Pair]:
    """The pairs of the verification photos."""
    with (folder / "verification" / "pairs.csv").open(newline="", encoding="utf-8") as file:
        return [Pair(row["image_1"], row["image_2"], row["same_person"] == "1") for row in csv.DictReader(file)]


def compared(
    photos: Sequence[Photo], pairs: Sequence[Pair], default: Seen, found: Seen, threshold: float
) -> dict[str, Any]:
    """What is lost, found more and flipped; `which` names it. `gone` and `new` are of all faces, labelled or not."""
    counts = dict.fromkeys(("labelled", "more", "faces", "gone", "new"), 0)
    lost: list[str] = []
    of_faces, of_pairs = _Changes(), _Changes()
    for photo in photos:
        a, b = default[photo.name], found[photo.name]
        there = _labelled(photo, a.faces)
        before, after = ({i for i, _ in same_faces(there, each.faces)} for each in (a, b))
        lost += [f"{photo.name}: lost the face at {there.boxes[i].astype(int)}" for i in sorted(before - after)]
        both = len(same_faces(a.faces, b.faces))
        counts["labelled"] += len(before)
        counts["more"] += len(after - before)
        counts["faces"] += len(a.faces)
        counts["gone"] += len(a.faces) - both
        counts["new"] += len(b.faces) - both
        _judge_faces(of_faces, photo, a, b)
    for pair in pairs:
        _judge_pair(of_pairs, pair, default, found, threshold)
    passed = not (lost or of_faces.flips or of_pairs.flips)
    return {
        "gate": ("passes" if passed else "fails") if photos else "no photos",
        "photos": len(photos),
        "lost": len(lost),
        **counts,
        "is_real_flipped": len(of_faces.flips),
        "largest_p_real_change": max(of_faces.sizes, default=0.0),
        "pairs": len(pairs),
        "verified_flipped": len(of_pairs.flips),
        "largest_distance_change": max(of_pairs.sizes, default=0.0),
        "which": lost + of_faces.flips + of_pairs.flips,
    }


@dataclass(frozen=True, slots=True)
class _Changes:
    """How far a figure has moved, each time, and the verdicts that have become others, in words."""

    sizes: list[float] = field(default_factory=list)
    flips: list[str] = field(default_factory=list)


def _labelled(photo: Photo, default: Faces) -> Faces:
    boxes = photo.boxes if len(photo.boxes) else default.boxes[: photo.best]
    return Faces(boxes, np.ones(len(boxes), np.float32), np.zeros((len(boxes), 5, 2), np.float32))


def _judge_faces(changes: _Changes, photo: Photo, default: Analysis, found: Analysis) -> None:
    assert default.liveness is not None and found.liveness is not None
    for i, j in same_faces(default.faces, found.faces):
        p, q = float(default.liveness.p_real[i]), float(found.liveness.p_real[j])
        changes.sizes.append(abs(p - q))
        if default.liveness.is_real[i] != found.liveness.is_real[j]:
            changes.flips.append(f"{photo.name}: face {i + 1}: P(real) {p:.3f} became {q:.3f}")


def _judge_pair(changes: _Changes, pair: Pair, default: Seen, found: Seen, threshold: float) -> None:
    """A photo without a face has no verdict, which is another one than either."""
    before, after = (_distance(seen[pair.first], seen[pair.second]) for seen in (default, found))
    if before is not None and after is not None:
        changes.sizes.append(abs(before - after))
    was, now = (None if each is None else each < threshold for each in (before, after))
    if was is not now:
        people = "one person" if pair.same else "two people"
        told = " became ".join("no face" if each is None else f"{each:.3f}" for each in (before, after))
        changes.flips.append(f"{pair.first} and {pair.second}, {people}: distance {told}")


def _distance(first: Analysis, second: Analysis) -> float | None:
    """The cosine distance of the best faces; None where one has no face."""
    if not (len(first.faces) and len(second.faces)):
        return None
    assert first.embeddings is not None and second.embeddings is not None
    return 1.0 - float(first.embeddings[0] @ second.embeddings[0])
