"""What a call returns: frozen values, checked when made.

A liveness that was not checked is None; False means fake. No value of these types can say "verified" of a fake face.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.errors import ServerFault

Box = tuple[float, float, float, float]  # x1 y1 x2 y2, image pixels
Landmarks = tuple[tuple[float, float], ...]  # five x y, image pixels, in the ArcFace template's order

_ROUNDING = 1e-3  # how far float32 arithmetic may carry a probability out of 0-1


@dataclass(frozen=True, slots=True)
class Model:
    """The nets behind an answer: their pack, its licence, and whether that licence allows commercial use.

    Where `digest` and `precision` (fp32 or fp16) are the same, answers are; where `digest` alone is, no verdict
    differed when the nets were built. Embeddings may be compared where `embedding_digest` is the same, and nowhere
    else; `threshold` is the distance, 1 - cosine, under which the pack takes two of them for one person. `local`: this
    process computed the answer itself, since no server gave one.
    """

    pack: str
    licence: str
    commercial_use: bool
    digest: str
    embedding_digest: str
    precision: str
    threshold: float
    local: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Face:
    """One face of an image. Embeddings take no part in comparison; raises ServerFault where values cannot be.

    `box` and `landmarks` are in pixels of the image as given (a file's EXIF orientation applied), `score` is the
    detector's, 0-1; `embedding` is float32 [D], L2-normalised, None where not asked for; `is_real` and
    `antispoof_score` = P(real), 0-1, are None where liveness was not asked for. `error`: why a face that the caller
    gave has no embedding; its liveness is checked all the same.
    """

    box: Box
    score: float
    landmarks: Landmarks
    embedding: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    is_real: bool | None = None
    antispoof_score: float | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        _check_finite("box", self.box, 4)
        _check_finite("landmarks", (value for point in self.landmarks for value in point), 10)
        _check_probability("score", self.score)
        _check_liveness("", self.is_real, self.antispoof_score)
        if self.embedding is not None:
            check_embedding(self.embedding)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: lists for arrays, null for what was not checked or not asked for."""
        return {
            "box": list(self.box),
            "score": self.score,
            "landmarks": [list(point) for point in self.landmarks],
            "embedding": None if self.embedding is None else self.embedding.tolist(),
            "is_real": self.is_real,
            "antispoof_score": self.antispoof_score,
            "error": self.error,
        }


class Faces(list[Face]):
    """The faces of an image, best-detected first, and `model`, the models that found them.

    `face_count`: with `several_faces`, how many faces the image shows, of which at most one is here; else None.
    """

    def __init__(self, faces: Iterable[Face], model: Model, face_count: int | None = None) -> None:
        super().__init__(faces)
        check_face_count("face_count", face_count, least=len(self))
        self.model = model
        self.face_count = face_count

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, with null for a face_count that was not requested."""
        return {
            "faces": [face.as_dict() for face in self],
            "face_count": self.face_count,
            "model": self.model.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether two images show one person; true exactly where `verified` is. Raises ServerFault where values cannot be.

    `distance` and `threshold` are 1 - cosine, `confidence` is 0-100; boxes as in Face. The four liveness fields are
    None where liveness was not requested; with it, `verified` implies that both faces are real. `face_count_1` and
    `face_count_2` are the faces that the images show, None where the server is of a version that does not count.
    """

    verified: bool
    distance: float
    threshold: float
    confidence: float
    box_1: Box
    box_2: Box
    is_real_1: bool | None = None
    antispoof_score_1: float | None = None
    is_real_2: bool | None = None
    antispoof_score_2: float | None = None
    face_count_1: int | None = None
    face_count_2: int | None = None
    processing_time_ms: float = field(kw_only=True)
    model: Model = field(kw_only=True)

    def __post_init__(self) -> None:
        _check_finite(
            "distance, threshold, confidence or processing_time_ms",
            (self.distance, self.threshold, self.confidence, self.processing_time_ms),
            4,
        )
        _check_finite("box_1", self.box_1, 4)
        _check_finite("box_2", self.box_2, 4)
        _check_liveness("_1", self.is_real_1, self.antispoof_score_1)
        _check_liveness("_2", self.is_real_2, self.antispoof_score_2)
        if (self.is_real_1 is None) != (self.is_real_2 is None):
            raise ServerFault("liveness was checked in one image and not in the other")
        check_face_count("face_count_1", self.face_count_1)
        check_face_count("face_count_2", self.face_count_2)
        self._check_verdict()

    def _check_verdict(self) -> None:
        if not isinstance(self.verified, bool):
            raise ServerFault(f"verified is {self.verified!r}, expected True or False")
        if self.verified and self.not_live:
            raise ServerFault(f"verified although the face of image {self.not_live[0]} is not live")
        if self.verified and self.distance > self.threshold:
            raise ServerFault(f"verified although the distance {self.distance} is above the threshold {self.threshold}")

    def __bool__(self) -> bool:
        return self.verified

    @property
    def not_live(self) -> tuple[int, ...]:
        """The images, 1 and 2, whose face was checked and found fake: the veto's reason."""
        return tuple(image for image, is_real in ((1, self.is_real_1), (2, self.is_real_2)) if is_real is False)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, with null for a liveness that was not checked and for faces that were not counted."""
        return {
            "verified": self.verified,
            "distance": self.distance,
            "threshold": self.threshold,
            "confidence": self.confidence,
            "box_1": list(self.box_1),
            "box_2": list(self.box_2),
            "is_real_1": self.is_real_1,
            "antispoof_score_1": self.antispoof_score_1,
            "is_real_2": self.is_real_2,
            "antispoof_score_2": self.antispoof_score_2,
            "face_count_1": self.face_count_1,
            "face_count_2": self.face_count_2,
            "processing_time_ms": self.processing_time_ms,
            "model": self.model.as_dict(),
        }


def check_face_count(what: str, count: int | None, least: int = 1) -> None:
    """Raises ServerFault for fewer faces than the answer describes; None, not counted, passes."""
    if count is not None and count < least:
        raise ServerFault(f"{what}: expected at least {least}, got {count}")


def check_embedding(embedding: NDArray[np.float32]) -> None:
    """Raises ServerFault unless `embedding`, float32 [D], has length one: other lengths give no cosine distance."""
    length = float(np.linalg.norm(embedding))
    if not abs(length - 1.0) <= contract.UNIT_TOLERANCE:  # NaN fails
        raise ServerFault(f"embedding: expected values of length one, got length {length:g}")


def _check_finite(what: str, values: Iterable[float], count: int) -> None:
    numbers = tuple(values)
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise ServerFault(f"{what}: expected {count} finite numbers, got {numbers}")


def _check_probability(what: str, value: float) -> None:
    if not -_ROUNDING <= value <= 1 + _ROUNDING:  # NaN fails too
        raise ServerFault(f"{what}: expected a number in 0-1, got {value}")


def _check_liveness(suffix: str, is_real: bool | None, score: float | None) -> None:
    if is_real is None and score is None:
        return
    if not isinstance(is_real, bool) or score is None:  # numpy's False would not be `is False`
        raise ServerFault(
            f"liveness{suffix}: expected a bool and a number, or None twice, got {is_real!r} and {score!r}"
        )
    _check_probability(f"antispoof_score{suffix}", score)
