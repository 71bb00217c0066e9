"""One track: where it was seen, and what the answers said of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegate_client.camera.due import Choices
from facegate_client.camera.frame import Frame
from facegate_client.camera.sighting import Ended
from facegate_client.camera.track_liveness import TrackLiveness
from facegate_client.errors import ServerFault
from facegate_client.results import Face, Model

# Cosine distance of an embedding to the track's, beyond which they are two people's. Of the labelled photos (pack
# mobileface) it keeps all 38 pairs of one person, the farthest being 0.47, and parts 99 % of the 262 others; the pack's
# own 0.57 would also part one face's sharp and blurred frames.
OTHER_FACE = 0.7
_LEAST_WEIGHT = 1e-3  # of an embedding whose quality is 0


class Judged:
    """What the answers have said of a track since it was last in doubt: its liveness and its embedding."""

    def __init__(self) -> None:
        self.doubts = 0  # how many times the track had been in doubt when its last absorbed frame was seen
        self.liveness = TrackLiveness()
        self.embedding: NDArray[np.float32] | None = None
        self.model: Model | None = None
        self._sum: NDArray[np.float64] | None = None

    def forget(self) -> None:
        """Drops all: not checked again."""
        self.liveness = TrackLiveness()
        self.model = None
        self._forget_embedding()

    def add(self, face: Face, model: Model, quality: float, anti_spoofing: bool) -> bool:
        """Adds the answer on one frame. Returns whether all that was known before had to be dropped for it.

        It is dropped when the embedding is another person's, and when other nets have judged; the embedding alone when
        another recognizer made it. Raises ServerFault where liveness was asked for and not answered.
        """
        if anti_spoofing and (face.is_real is None or face.antispoof_score is None):
            raise ServerFault("liveness was asked for and the answer has none")
        began_anew = self.model is not None and (self.model.digest != model.digest or self._is_another(face, model))
        if began_anew:
            self.forget()
        if self.model is not None and self.model.embedding_digest != model.embedding_digest:
            self._forget_embedding()
        self.model = model
        if face.embedding is not None:
            self._add_embedding(face.embedding, quality)
        if anti_spoofing and face.is_real is not None and face.antispoof_score is not None:
            self.liveness.add(face.is_real, face.antispoof_score)
        return began_anew

    def _is_another(self, face: Face, model: Model) -> bool:
        if self.embedding is None or face.embedding is None or self.model is None:
            return False
        if self.model.embedding_digest != model.embedding_digest:
            return False
        return 1 - float(self.embedding @ face.embedding) > OTHER_FACE

    def _add_embedding(self, embedding: NDArray[np.float32], quality: float) -> None:
        weighted = embedding.astype(np.float64) * max(quality, _LEAST_WEIGHT)
        self._sum = weighted if self._sum is None else self._sum + weighted
        self.embedding = (self._sum / np.linalg.norm(self._sum)).astype(np.float32)

    def _forget_embedding(self) -> None:
        self.embedding = self._sum = None


class Track:
    """A track's history. What is seen and chosen runs ahead of what is answered and kept in `judged`."""

    def __init__(self, number: int, judge_every_s: float, frame: Frame) -> None:
        self.number = number
        self.choices = Choices(judge_every_s)
        self.judged = Judged()
        self.doubts = 0
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
        """Its last line."""
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
