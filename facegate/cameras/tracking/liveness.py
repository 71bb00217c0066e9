"""A track's liveness: many judgements of one face in, one verdict out that does not flicker.

One frame's P(real) is not enough to go by: a blurred or badly lit frame of a real face is judged fake, and a lucky
frame of a spoof real. All doubts are settled on the side of fake.
"""

from __future__ import annotations

from collections import deque

import numpy as np

ENOUGH = 3  # judgements before there is a verdict: the fewest of which a median leaves out an outlier
WINDOW = 7  # last judgements that count: a spoof that takes a real face's place outvotes it within four
REAL_FROM = 0.6  # mean P(real) to become real
FAKE_UNDER = 0.5  # mean P(real) to stay real: what the nets' own rule is for one frame (P(real) >= 0.5)
REAL_SHARE = 2 / 3  # of the judgements by the pack's own threshold, to become real


class TrackLiveness:
    """The last judgements and the verdict.

    `is_real` and `score` (the robust mean of P(real)) are None until ENOUGH judgements are in: not checked. The verdict
    becomes real where the mean is REAL_FROM or more, REAL_SHARE of the judgements are real and ENOUGH of them are, else
    it is fake; real turns fake as soon as the mean is under FAKE_UNDER or half the judgements are fake. So a verdict
    may differ from what the mean alone says. Two real judgements of three wait for the fourth. Who was fake becomes
    real by a whole WINDOW of real judgements alone: a spoof that the nets are not sure of has lucky frames in a row.
    """

    def __init__(self, *, wary: bool = False) -> None:
        """`wary`: the track was fake before."""
        self.wary = wary
        self._judged: deque[tuple[bool, float]] = deque(maxlen=WINDOW)
        self.is_real: bool | None = None

    def add(self, is_real: bool, score: float) -> None:
        """One more judgement: the server's verdict on a frame and its P(real), 0-1."""
        self._judged.append((is_real, score))
        if len(self._judged) < ENOUGH:
            return
        mean, real = self._mean(), sum(real for real, _ in self._judged)
        if self.is_real:
            self.is_real = mean >= FAKE_UNDER and real > len(self._judged) / 2
        elif mean < REAL_FROM or real < REAL_SHARE * len(self._judged):
            self.is_real = False
        elif real >= (WINDOW if self.wary else ENOUGH):
            self.is_real = True
        self.wary = self.wary or self.is_real is False

    @property
    def judgements(self) -> int:
        """How many judgements the verdict is from, at most WINDOW."""
        return len(self._judged)

    @property
    def score(self) -> float | None:
        """The mean of the middle half of the last P(real), of three the median; None where there is no verdict."""
        return None if self.is_real is None else self._mean()

    @property
    def settled(self) -> bool:
        """Whether the last ENOUGH judgements, where there are so many, agree with the verdict."""
        last = list(self._judged)[-ENOUGH:]
        return len(last) < ENOUGH or all(real is self.is_real for real, _ in last)

    def _mean(self) -> float:
        scores = sorted(score for _, score in self._judged)
        cut = (len(scores) + 1) // 4
        return float(np.mean(scores[cut : len(scores) - cut]))
