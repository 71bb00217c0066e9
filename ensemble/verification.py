"""Two faces, one verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble.liveness import Liveness


@dataclass(frozen=True, slots=True)
class Verdict:
    """`distance` and `threshold` are cosine distances, `confidence` is 0-100; `liveness`, of the two faces in their
    order, is None when it was not asked for."""

    verified: bool
    distance: float
    threshold: float
    confidence: float
    liveness: Liveness | None


def check_embeddings(embeddings: NDArray[np.float32]) -> None:
    """Raises RuntimeError unless all, FP32 [N, D], are of length one: distances of others mean nothing."""
    if not np.all(np.abs(np.linalg.norm(embeddings, axis=1) - 1.0) <= 1e-2):  # NaN fails
        raise RuntimeError("the recognizer answered embeddings that are not finite and of length one")


def judge(embeddings: NDArray[np.float32], threshold: float, liveness: Liveness | None) -> Verdict:
    """The verdict on two L2-normalised embeddings, FP32 [2, D].

    With liveness, a face that is not real vetoes the verification whatever the distance. Raises RuntimeError when
    an embedding is not of length one, or the liveness is not of two faces.
    """
    check_embeddings(embeddings)
    if liveness is not None and len(liveness.is_real) != len(embeddings):
        raise RuntimeError(f"{len(liveness.is_real)} faces were checked for liveness, not {len(embeddings)}")
    distance = 1.0 - float(np.dot(embeddings[0], embeddings[1]))
    distance = min(max(distance, 0.0), 2.0)  # rounding leaves a face about 1e-7 from itself, on either side
    live = liveness is None or bool(liveness.is_real.all())
    confidence = min(max((1.0 - distance / threshold) * 100.0, 0.0), 100.0)
    return Verdict(live and distance < threshold, distance, threshold, confidence, liveness)
