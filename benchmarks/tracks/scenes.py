"""The scenes in which tracks are measured: heads that move in known ways, and pictures held up to the camera."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path as FilePath

import numpy as np
from numpy.typing import NDArray

from facegate.cameras.synthetic.cut_faces import cut_head, cut_picture
from facegate.cameras.synthetic.scene import Actor, Path, Scene, Wave
from facegate.cameras.synthetic.source import scene_of
from facegate_client.imaging.image import decode
from facegate_client.results import Face

SIZE = (640, 480)
CARRIED_SIZE = (1280, 720)

Picture = tuple[NDArray[np.uint8], Face]
SceneMaker = Callable[[Sequence[Picture], float], Scene]


def people_of(folder: FilePath) -> list[str]:
    """Of the labelled photos in `folder`, in the order of pairs.csv, one for each person."""
    with (folder / "pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    same = {frozenset((row["image_1"], row["image_2"])) for row in rows if row["same_person"] == "1"}
    chosen: list[str] = []
    for name in dict.fromkeys(row[column] for row in rows for column in ("image_1", "image_2")):
        if not any(frozenset((name, other)) in same for other in chosen):
            chosen.append(name)
    return chosen


def picture_at(path: FilePath) -> NDArray[np.uint8]:
    """Its pixels, uint8 [height, width, 3], BGR."""
    return decode(path.read_bytes())


def smooth(people: Sequence[Picture], fps: float) -> Scene:
    """Four people, each in a corner of their own."""
    middles = ((150, 120), (490, 120), (150, 350), (490, 350))
    paths = [
        Path(Wave(x, 70, 7 + i, i / 4), Wave(y, 30, 5 + i, i / 3), Wave(90, 8, 9, i / 5))
        for i, (x, y) in enumerate(middles)
    ]
    return _heads(people, paths, fps)


def crossing(people: Sequence[Picture], fps: float) -> Scene:
    """Two and two who pass each other, the nearer hiding the farther."""
    paths = [
        Path(Wave(320, 220, 9 + row, side / 2), Wave(130 + 220 * row, 12, 4 + side), Wave(85 + 15 * side, 5, 8))
        for row in (0, 1)
        for side in (0, 1)
    ]
    return _heads(people, paths, fps)


def pillars(people: Sequence[Picture], fps: float) -> Scene:
    """Three who walk behind two pillars wider than their faces, and out on the other side."""
    paths = [Path(Wave(320, 240, 12 + i, i / 3), Wave(100 + 140 * i, 8, 5), Wave(85, 5, 8)) for i in range(3)]
    return _heads(people, paths, fps, [(170, 0, 250, 480), (400, 0, 480, 480)])


def comings(people: Sequence[Picture], fps: float) -> Scene:
    """Four who leave the picture on either side and come back after seconds."""
    paths = [Path(Wave(320, 480, 14 + 2 * i, i / 4), Wave(80 + 110 * i, 8, 5), Wave(85, 5, 8)) for i in range(4)]
    return _heads(people, paths, fps)


def sizes(people: Sequence[Picture], fps: float) -> Scene:
    """Three who come near and go far, 30 to 170 pixels high, and get out of focus."""
    paths = [
        Path(Wave(115 + 205 * i, 20, 6), Wave(240, 60, 7, i / 3), Wave(100, 70, 9, i / 3), Wave(0, 3, 8, i / 2))
        for i in range(3)
    ]
    return _heads(people, paths, fps)


def wandering(people: Sequence[Picture], fps: float) -> Scene:
    """Six who do all of that, as `facegate camera synthetic:FOLDER` shows them."""
    return scene_of([(pixels, [face]) for pixels, face in people], seed=4, size=SIZE, fps=fps)


MOTIONS: tuple[SceneMaker, ...] = (smooth, crossing, pillars, comings, sizes, wandering)


def held(picture: Picture, fps: float, *, spoof: bool) -> Scene:
    """One picture with its context, held so near that the nets see little else."""
    path = Path(Wave(320, 25, 7), Wave(250, 15, 5), Wave(260, 35, 11), Wave(-1, 2, 13))
    return Scene(SIZE, fps, [Actor(cut_picture(*_face(picture), spoof=spoof), path)], seed=5)


def carried_near(person: Picture, spoof: Picture, fps: float) -> Scene:
    """A spoof held close to the camera that passes in front of a person, again and again."""
    return _carried(person, spoof, fps, 380)


def carried_far(person: Picture, spoof: Picture, fps: float) -> Scene:
    """The same with a smaller spoof, whose every context crop shows more of the scene than of itself."""
    return _carried(person, spoof, fps, 200)


def _carried(person: Picture, spoof: Picture, fps: float, height: float) -> Scene:
    behind = Path(Wave(640, 30, 7), Wave(400, 10, 5), Wave(300, 15, 11))
    past = Path(Wave(640, 700, 16, 0.25), Wave(340, 20, 6), Wave(height, 0.05 * height, 9))
    person_there, spoof_there = cut_picture(*_face(person), spoof=False), cut_picture(*_face(spoof), spoof=True)
    return Scene(CARRIED_SIZE, fps, [Actor(person_there, behind), Actor(spoof_there, past)], seed=6)


def _heads(
    people: Sequence[Picture],
    paths: Sequence[Path],
    fps: float,
    pillars: Sequence[tuple[int, int, int, int]] = (),
) -> Scene:
    actors = [Actor(cut_head(*_face(person)), path) for person, path in zip(people, paths, strict=False)]
    return Scene(SIZE, fps, actors, seed=len(paths), pillars=pillars)


def _face(picture: Picture) -> tuple[NDArray[np.uint8], tuple[float, float, float, float]]:
    return picture[0], picture[1].box
