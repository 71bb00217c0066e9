"""A person with all that is kept of them: what stores write, and what is exported."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from facegate.gateway.gallery import Embeddings, Origin, Person
from facegate_client.errors import ServerFault

UNIT_TOLERANCE = 1e-2
"""How far from one the length of an embedding may be that is not stored yet. `unit` makes it exact."""

STORED_TOLERANCE = 1e-5
"""The same of a stored embedding: `unit` leaves at most 1e-6, and float32 rounding 1e-7."""


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One photo's embedding, float32 [D]. `created_at` is in UTC."""

    origin: Origin
    created_at: datetime
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A person and their photos, the oldest first. `registered_at` is in UTC."""

    id: str
    name: str
    labels: Mapping[str, str]
    registered_at: datetime
    photos: tuple[Photo, ...]

    @property
    def person(self) -> Person:
        """Who it is, without the embeddings."""
        return Person(self.id, self.name, self.labels, self.registered_at, len(self.photos))


def photos_of(embeddings: Embeddings, origin: Origin, now: datetime) -> tuple[Photo, ...]:
    """Photos taken up at `now`. Raises ServerFault for embeddings that are not finite, not of length one, or none."""
    if embeddings.ndim != 2 or 0 in embeddings.shape or not are_unit(embeddings):
        raise ServerFault("embeddings to be remembered are not finite and of length one")
    return tuple(Photo(origin, now, unit(row)) for row in embeddings)


def are_unit(embeddings: Embeddings, tolerance: float = UNIT_TOLERANCE) -> bool:
    """Whether all rows, [N, D], have unit length; a row with NaN or an infinity does not."""
    with np.errstate(all="ignore"):  # bytes of a damaged file may be any number
        lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1)
        return bool(np.all(np.abs(lengths - 1.0) <= tolerance))


def bound_to(person_id: str, digest: str) -> bytes:
    """What a stored embedding is bound to, so that it is not valid in another person's row."""
    return f"{person_id}/{digest}".encode()


def checksum(person_id: str, digest: str, stored: bytes) -> bytes:
    """SHA-256 of an embedding's bytes as they are stored, and of what they are bound to. 32 bytes."""
    return hashlib.sha256(bound_to(person_id, digest) + b"\0" + stored).digest()


def check_dim(known: int, dim: int) -> None:
    """Raises ServerFault for embeddings of another length than those of their recognizer have in the gallery."""
    if known != dim:
        raise ServerFault(f"a recognizer's embeddings have {known} values in the gallery, and now {dim}")


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """A new [D] of length one, of a vector that `are_unit`.

    One that is so to float32's rounding stays as it is, so that what was exported is the same when it is imported.
    """
    length = np.linalg.norm(vector.astype(np.float64))
    return np.array(vector if abs(length - 1.0) < 1e-6 else vector / length, "<f4")


def utc_now() -> datetime:
    """Now, to the microsecond, which is what stores keep."""
    return datetime.now(timezone.utc)
