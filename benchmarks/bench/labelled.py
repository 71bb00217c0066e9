"""The labelled pictures of FACEGATE_MIRROR/images, and how far two ways to analyze them are apart."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import COUNTED, labelled_faces
from facegate_client.imaging.image import decode
from facegate_ensemble.pipeline.detection import NO_FACES
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
