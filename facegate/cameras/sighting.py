"""A face in a frame, and what is known of its track by then."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facegate_client.results import Face


@dataclass(frozen=True, slots=True)
class Sighting:
    """A tracked face in one frame.

    `track` counts from 1 in each camera. `face` is as detected in this frame: box, score and landmarks. `quality` is
    0-1 (camera.tracks.quality). `is_real` and `antispoof_score` are the track's verdict and its robust mean of P(real),
    both None while the track is not judged yet: not checked, which is neither real nor fake. `judgements` is how many
    frames of the track the mean is of. `judgement` is the server's answer on this very frame, None where the frame was
    not judged. `embedding` is the track's, float32 [D], L2-normalised, None where there is none (yet): the mean of
    those judgements that the verdict is from, while it is real of those among them that were judged real; `newest` is
    the last one of them. Both may be compared with those of the same `embedding_digest` alone.
    """

    track: int
    face: Face
    quality: float
    is_real: bool | None = None
    antispoof_score: float | None = None
    judgements: int = 0
    judgement: Face | None = None
    embedding: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    newest: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    embedding_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A track that is over: its first and last frame's index and media time, its frames, and its last verdict.

    `best_quality` and `best_frame` are of the frame that showed the face best.
    """

    track: int
    first_frame: int
    last_frame: int
    first_s: float
    last_s: float
    frames: int
    best_quality: float
    best_frame: int
    is_real: bool | None
    antispoof_score: float | None
    judgements: int
