"""What the gateway's people are to a caller: frozen values, checked when made.

As in facegate_client.results, a liveness that was not checked is None, and False means fake.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate_client.errors import ServerFault
from facegate_client.results import Box, Faces, Model, check_embedding, check_face_count


@dataclass(frozen=True, slots=True)
class Person:
    """Someone whom the gateway remembers. `registered_at` is in UTC; `photos` counts what was enrolled of them."""

    id: str
    name: str
    labels: Mapping[str, str]
    registered_at: datetime
    photos: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "labels": dict(self.labels), "registered_at": self.registered_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A person as they are remembered now, and the face of each photo, in the photos' order, without embeddings.

    `face_counts`: how many faces each photo shows; None where the gateway is of a version that does not count.
    """

    person: Person
    faces: Faces
    face_counts: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.face_counts is not None and len(self.face_counts) != len(self.faces):
            raise ServerFault(f"face_counts: expected {len(self.faces)}, got {len(self.face_counts)}")
        for count in self.face_counts or ():
            check_face_count("face_counts", count)


@dataclass(frozen=True, slots=True)
class Match:
    """A person, the distance (1 - cosine) to the nearest of their photos, a confidence of 0-100, and whether it is
    them."""

    person: Person
    distance: float
    confidence: float
    match: bool

    def __post_init__(self) -> None:
        if not (math.isfinite(self.distance) and math.isfinite(self.confidence)):
            raise ServerFault(f"a match's distance is {self.distance}, and its confidence {self.confidence}")


@dataclass(frozen=True, slots=True)
class Identification:
    """Whose face an image shows. `person` is who it is, None where it is nobody who is remembered, or not certain.

    `matches` are the nearest people, the nearest first; none where liveness was asked for and the face is not live.
    `ambiguous`: the second is within the margin of the first, so that neither matches. `box`, `score`, `is_real` and
    `antispoof_score` are the face's; raises ServerFault where a fake face has matches. `face_count`: how many faces the
    image shows; None where the gateway is of a version that does not count.
    """

    matches: tuple[Match, ...]
    ambiguous: bool
    box: Box
    score: float
    threshold: float
    model: Model
    is_real: bool | None = None
    antispoof_score: float | None = None
    face_count: int | None = None

    def __post_init__(self) -> None:
        check_face_count("face_count", self.face_count)
        if self.is_real is False and self.matches:
            raise ServerFault("identified although the face is not live")
        if self.ambiguous and any(each.match for each in self.matches):
            raise ServerFault("identified although two people are within the margin")

    @property
    def person(self) -> Person | None:
        """The nearest person who matches."""
        return next((each.person for each in self.matches if each.match), None)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, with null for a liveness that was not checked."""
        return {
            "matches": [
                {**each.person.as_dict(), "distance": each.distance, "confidence": each.confidence, "match": each.match}
                for each in self.matches
            ],
            "ambiguous": self.ambiguous,
            "box": list(self.box),
            "score": self.score,
            "threshold": self.threshold,
            "is_real": self.is_real,
            "antispoof_score": self.antispoof_score,
            "face_count": self.face_count,
            "model": self.model.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class Embedding:
    """A face's embedding, float32 [D], L2-normalised; comparable where `model.embedding_digest` is the same.

    `face_count`: how many faces the image shows; None where the gateway is of a version that does not count.
    """

    values: NDArray[np.float32] = field(compare=False, repr=False)
    box: Box
    score: float
    model: Model
    face_count: int | None = None

    def __post_init__(self) -> None:
        check_face_count("face_count", self.face_count)
        check_embedding(self.values)
