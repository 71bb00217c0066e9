"""Which frames of a track are worth a judgement."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegate.cameras.tracking.liveness import ENOUGH, WINDOW
from facegate_client import contract
from facegate_client.results import Face

BETTER = 1.5  # times as good as the best frame judged; steps by less are mostly the shaking of landmarks
BURST = 4  # judgements that outvote those of another face before (liveness.WINDOW)
FAKE_BURST = 3  # while a fake face is judged real now and then: it takes a whole window of those, and no harm is done
WORTH = 0.1  # quality; what is worse is not "better" than anything


@dataclass(frozen=True, slots=True)
class _Choice:
    frame: int
    media_s: float
    quality: float


class Choices:
    """The frames of a track that were chosen since the last doubt. `frame` counts the frames seen.

    Due are the first ENOUGH frames; one that is BETTER than the best; one every `judge_every_s`; and each, up to
    `burst` in that time, which is more than 0 while answers contradict the verdict.
    """

    def __init__(self, judge_every_s: float) -> None:
        self._every_s = judge_every_s
        self._chosen: deque[_Choice] = deque(maxlen=WINDOW)
        self.burst = 0

    def due(self, media_s: float, quality: float, touching: bool) -> bool:
        """Whether the frame at `media_s` should be judged; a face that touches another only where every one should."""
        if self._every_s == 0:
            return True
        if touching:
            return False
        return (
            len(self._chosen) < ENOUGH
            or self._in_burst(media_s)
            or quality >= BETTER * max(WORTH, *(choice.quality for choice in self._chosen))
            or media_s - self._chosen[-1].media_s >= self._every_s
        )

    def _in_burst(self, media_s: float) -> bool:
        """Whether the last interval has fewer judgements: a face on which the nets never agree gets no more."""
        if len(self._chosen) < self.burst:
            return True
        return self.burst > 0 and media_s - self._chosen[-self.burst].media_s >= self._every_s

    def choose(self, frame: int, media_s: float, quality: float) -> None:
        """Notes that the frame is sent."""
        self._chosen.append(_Choice(frame, media_s, quality))

    def forget(self) -> None:
        """Begins anew."""
        self._chosen.clear()
        self.burst = 0

    def failed(self, frame: int) -> None:
        """The frame got no answer: as if it had not been chosen."""
        self._keep([choice for choice in self._chosen if choice.frame != frame])

    def from_frame(self, frame: int) -> None:
        """What was chosen before `frame` was of another face, or judged by other nets."""
        self._keep([choice for choice in self._chosen if choice.frame >= frame])

    def _keep(self, choices: list[_Choice]) -> None:
        self._chosen.clear()
        self._chosen.extend(choices)


def as_rows(faces: Sequence[Face]) -> NDArray[np.float64]:
    """FACES_IN's rows, float64 [N, 14]: x1 y1 x2 y2 and the landmarks' x y, unaltered."""
    rows = [[*face.box, *(value for point in face.landmarks for value in point)] for face in faces]
    return np.array(rows, dtype=np.float64).reshape(-1, contract.FACE_IN_VALUES)
