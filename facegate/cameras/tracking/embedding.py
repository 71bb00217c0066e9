"""A track's embedding: that of the judgements its verdict is from, so that no face lends another its liveness."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegate.cameras.tracking.liveness import WINDOW

# Cosine distance of an embedding to the track's, beyond which they are two people's. Of the labelled photos (pack
# mobileface) it keeps all 38 pairs of one person, the farthest being 0.47, and parts 99 % of the 262 others; the pack's
# own 0.57 would also part one face's sharp and blurred frames.
OTHER_FACE = 0.7
_LEAST_WEIGHT = 1e-3  # of an embedding whose quality is 0

Embedding = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    embedding: Embedding | None
    weight: float
    is_real: bool | None


class TrackEmbedding:
    """Of the last WINDOW judgements, as TrackLiveness: where the verdict is real of those judged real, else of all.

    `mean` is weighted by quality, `newest` the last one; float32 [D], L2-normalised, None where there is none.
    """

    def __init__(self) -> None:
        self._judged: deque[_Judged] = deque(maxlen=WINDOW)
        self.mean: Embedding | None = None
        self.newest: Embedding | None = None

    def add(self, embedding: Embedding | None, quality: float, is_real: bool | None, verdict: bool | None) -> None:
        """One more judgement, `embedding` None where none could be made, and the track's verdict with it."""
        self._judged.append(_Judged(embedding, max(quality, _LEAST_WEIGHT), is_real))
        counts = [each for each in self._judged if verdict is not True or each.is_real]
        known = [(each.embedding, each.weight) for each in counts if each.embedding is not None]
        self.newest = known[-1][0] if known else None
        total = np.sum([vector.astype(np.float64) * weight for vector, weight in known], axis=0) if known else 0.0
        length = float(np.linalg.norm(total))
        self.mean = np.asarray(total / length, dtype=np.float32) if length > 0 else None

    def is_another(self, embedding: Embedding) -> bool:
        """Whether it is another person's than the mean, or than the newest of all."""
        newest = [each.embedding for each in self._judged if each.embedding is not None][-1:]
        known = newest if self.mean is None else [self.mean, *newest]
        return any(1 - float(each @ embedding) > OTHER_FACE for each in known)
