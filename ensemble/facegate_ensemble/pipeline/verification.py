"""Two faces, one verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate_client import contract
from facegate_ensemble.pipeline.liveness import Liveness


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
    """Raises RuntimeError unless all embeddings, FP32 [N, D], have unit length."""
    if not np.all(np.abs(np.linalg.norm(embeddings, axis=1) - 1.0) <= contract.UNIT_TOLERANCE):  # NaN fails
        raise RuntimeError("the recognizer answered embeddings that are not finite and of length one")


def check_cosines(cosines: NDArray[np.floating[Any]]) -> None:
    """Raises RuntimeError for a cosine that is NaN or outside [-1.001, 1.001]."""
    if not np.all(np.abs(cosines) <= contract.MAX_COSINE):  # NaN fails
        raise RuntimeError("a cosine is not a number from -1 to 1")


def cosine_distances(cosines: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """1 - cosine of each, limited to 0-2. Raises RuntimeError as `check_cosines`.

    Rounding moves a cosine by about 1e-7. Limiting anything larger would turn a damaged vector into a match.
    """
    check_cosines(cosines)
    return np.clip(1.0 - cosines.astype(np.float64), 0.0, 2.0)


def judge(embeddings: NDArray[np.float32], threshold: float, liveness: Liveness | None) -> Verdict:
    """The verdict on two L2-normalised embeddings, FP32 [2, D].

    With liveness, a face that is not real vetoes the verification whatever the distance. Raises RuntimeError when
    an embedding is not of length one, their cosine is out of range, or the liveness is not of two faces.
    """
    check_embeddings(embeddings)
    if liveness is not None and len(liveness.is_real) != len(embeddings):
        raise RuntimeError(f"{len(liveness.is_real)} faces were checked for liveness, not {len(embeddings)}")
    distance = float(cosine_distances(np.dot(embeddings[0], embeddings[1])))
    live = liveness is None or bool(liveness.is_real.all())
    confidence = min(max((1.0 - distance / threshold) * 100.0, 0.0), 100.0)
    return Verdict(live and distance < threshold, distance, threshold, confidence, liveness)
