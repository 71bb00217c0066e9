"""The people whom the gateway remembers: values, and what a store of them does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Person:
    """A person who is remembered. `registered_at` is in UTC; `photos` counts their embeddings, of every recognizer."""

    id: str
    name: str
    labels: Mapping[str, str]
    registered_at: datetime
    photos: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A person and the distance, 1 - cosine, from the nearest of their photos."""

    person: Person
    distance: float


@dataclass(frozen=True, slots=True)
class Origin:
    """The recognizer that an embedding came from, as answers name it, and the pack that it was part of."""

    pack: str
    embedding_digest: str


Embeddings = NDArray[np.float32]
"""[N, D], L2-normalised, a photo a row."""


class Gallery(Protocol):
    """A durable store of people. Safe to use from many tasks of one event loop.

    What a method has returned is on the disk. A task that is cancelled leaves all or nothing. Raises GatewayError
    NOT_FOUND for a person who is not there, and UNAVAILABLE where the store cannot be reached.
    """

    async def enroll(self, name: str, labels: Mapping[str, str], embeddings: Embeddings, origin: Origin) -> Person:
        """A new person."""

    async def add_photos(self, person_id: str, embeddings: Embeddings, origin: Origin) -> Person:
        """More photos of a person who is there."""

    async def search(self, embedding: NDArray[np.float32], origin: Origin, count: int) -> list[Neighbour]:
        """The `count` nearest people, exactly, the nearest first; only embeddings of the same `embedding_digest`."""

    async def forget(self, person_id: str) -> None:
        """Delete a person and every embedding of theirs: no file of the store has their bytes afterwards.

        PostgreSQL's files keep them for a while: docs/gallery.md.
        """

    async def people(self, after: str, count: int) -> Sequence[Person]:
        """At most `count` people whose id is greater than `after`, in the order of their ids."""

    async def is_ready(self) -> bool:
        """Whether the store can be read and written. Also raises GatewayError with the reason why not."""

    async def close(self) -> None:
        """Give back what is open."""
