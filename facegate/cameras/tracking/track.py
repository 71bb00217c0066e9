"""One track: where it was seen, and what the answers said of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegate.cameras.frame import Frame
from facegate.cameras.sighting import Ended
from facegate.cameras.tracking.due import Choices
from facegate.cameras.tracking.liveness import WINDOW, TrackLiveness
from facegate_client.results import Face, Model

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


KEPT_S = 2.0  # media time for which what is known holds without a further answer, where `judge_every_s` is short


class Judged:
    """What the answers have said of a track since it was last in doubt: its liveness and its embedding.

    They hold for twice `judge_every_s`, at least KEPT_S: one call may fail, but what is asked about in vain, or cannot
    be asked about, is not checked in the end.
    """

    def __init__(self, judge_every_s: float) -> None:
        self.liveness = TrackLiveness()
        self.embedding = TrackEmbedding()
        self.model: Model | None = None
        self._kept_s = max(2 * judge_every_s, KEPT_S)
        self._doubts = 0  # how many times the track had been in doubt when its last absorbed frame was seen
        self._answers = 0
        self._last_s = 0.0

    def keep_up(self, doubts: int, media_s: float) -> None:
        """Drops all, not checked again, where the frame at `media_s` shows the track after a doubt, or too late."""
        if doubts != self._doubts or media_s - self._last_s > self._kept_s:
            self._forget()
        self._doubts = doubts

    def add(self, face: Face, model: Model, media_s: float, quality: float, anti_spoofing: bool) -> bool:
        """Adds the answer on the frame at `media_s`. Returns whether it is the only one that is known.

        All before is dropped when the embedding is another person's, and when other nets have judged; the embeddings
        alone when another recognizer made them.
        """
        if self.model is not None and self.model.embedding_digest != model.embedding_digest:
            self.embedding = TrackEmbedding()
        other_nets = self.model is not None and self.model.digest != model.digest
        if other_nets or (face.embedding is not None and self.embedding.is_another(face.embedding)):
            self._forget()
        self.model = model
        self._last_s = media_s
        self._answers += 1
        if anti_spoofing and face.is_real is not None and face.antispoof_score is not None:
            self.liveness.add(face.is_real, face.antispoof_score)
        self.embedding.add(face.embedding, quality, face.is_real, self.liveness.is_real)
        return self._answers == 1

    def _forget(self) -> None:
        self.liveness = TrackLiveness(wary=self.liveness.wary)  # it may be the same spoof
        self.embedding = TrackEmbedding()
        self.model = None
        self._answers = 0


class Track:
    """A track's history. What is seen and chosen runs ahead of what is answered and kept in `judged`."""

    def __init__(self, number: int, judge_every_s: float, frame: Frame, scene: int) -> None:
        """`scene` counts the cuts before its last frame."""
        self.number = number
        self.choices = Choices(judge_every_s)
        self.judged = Judged(judge_every_s)
        self.doubts = 0
        self.scene = scene
        self.last_seen = 0  # the last frame that shows it, counted as Tracks counts
        self._first = self._last = self._best = (frame.index, frame.media_s)
        self._best_quality = -1.0
        self._frames = 0

    def see(self, count: int, frame: Frame, quality: float) -> None:
        """Notes that a frame shows it."""
        self.last_seen = count
        self._last = (frame.index, frame.media_s)
        self._frames += 1
        if quality > self._best_quality:
            self._best_quality, self._best = quality, self._last

    def doubt(self) -> None:
        """From this frame on it may be another face."""
        self.doubts += 1
        self.choices.forget()

    def ended(self) -> Ended:
        """Its last line: what was known when it was last seen."""
        self.judged.keep_up(self.doubts, self._last[1])
        return Ended(
            self.number,
            first_frame=self._first[0],
            last_frame=self._last[0],
            first_s=self._first[1],
            last_s=self._last[1],
            frames=self._frames,
            best_quality=self._best_quality,
            best_frame=self._best[0],
            is_real=self.judged.liveness.is_real,
            antispoof_score=self.judged.liveness.score,
            judgements=self.judged.liveness.judgements,
        )
