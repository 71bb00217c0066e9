"""A made film: frames shown to Tracks, whose due faces are answered as the test says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from facegate.cameras.frame import Frame
from facegate.cameras.sighting import Sighting
from facegate.cameras.tracking.tracks import Seen, Tracks
from facegate_client.results import Face, Faces, Model

WIDTH, HEIGHT, SIDE = 640, 480, 80.0
PICTURE = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
MODEL = Model("made", "MIT", True, "digest", "embedding digest", "fp32", 0.4)
_POINTS = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
ANNA, BELA = np.eye(4, dtype=np.float32)[:2]


def face(x: float, y: float = 240, side: float = SIDE, score: float = 0.9) -> Face:
    """A face whose box has its centre at x, y."""
    left, top = x - side / 2, y - side / 2
    points = tuple((left + side * u, top + side * v) for u, v in _POINTS)
    return Face((left, top, left + side, top + side), score, points)


@dataclass
class Film:
    """Shows frames to Tracks and answers what is due, `lag` frames later."""

    tracks: Tracks
    lag: int = 0
    fps: float = 10.0
    model: Model = MODEL
    count: int = 0
    media_s: float = 0.0
    waiting: list[tuple[Seen, Faces | None]] = field(default_factory=list)
    due: list[int] = field(default_factory=list)
    numbers: list[list[int]] = field(default_factory=list)

    def show(
        self,
        *faces: Face,
        real: Sequence[bool | None] | bool = True,
        who: Sequence[np.ndarray] | None = None,
        fails: bool = False,
        after_s: float | None = None,
        picture: NDArray[np.uint8] = PICTURE,
    ) -> list[Sighting]:
        """The sightings of the frame that is absorbed now. `real` and `who` are the truth of each face."""
        if self.count:
            self.media_s += 1 / self.fps if after_s is None else after_s
        frame = Frame(self.count, self.media_s, 0.0, 0.0, picture)
        self.count += 1
        seen = self.tracks.see(frame, faces)
        truths = [real] * len(faces) if isinstance(real, bool) else list(real)
        rows = [next(i for i, each in enumerate(faces) if same(each, row)) for row in seen.due]
        answers = Faces(
            (
                replace(
                    faces[i],
                    score=1.0,
                    is_real=truths[i],
                    antispoof_score=None if truths[i] is None else 0.95 if truths[i] else 0.05,
                    embedding=None if who is None else who[i],
                )
                for i in rows
            ),
            self.model,
        )
        self.due.append(len(seen.due))
        self.waiting.append((seen, None if fails or not len(seen.due) else answers))
        if len(self.waiting) <= self.lag:
            return []
        return self.tracks.absorb(*self.waiting.pop(0))


def apart(distance: float, side: float = 1.0) -> NDArray[np.float32]:
    """An embedding at a cosine distance from Anna's, towards Bela's or, `side` being -1, away from it."""
    return np.asarray((1 - distance) * ANNA + side * np.sqrt(1 - (1 - distance) ** 2) * BELA, dtype=np.float32)


def same(face: Face, row: np.ndarray) -> bool:
    return bool(np.array_equal(np.array(face.box, dtype=np.float32), row[:4]))


def liveness(judge_every_s: float = 2.0, lag: int = 0, fps: float = 10.0) -> Film:
    return Film(Tracks(anti_spoofing=True, embeddings=False, judge_every_s=judge_every_s), lag, fps)


def known_real(film: Film, *faces: Face) -> None:
    """Shows the faces until they have a verdict, which is real."""
    for _ in range(5):
        sightings = film.show(*faces)
    assert [sighting.is_real for sighting in sightings] == [True] * len(faces)
