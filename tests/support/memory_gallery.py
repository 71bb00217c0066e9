"""A gallery of people that is gone when the test is."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from facegate.gateway.errors import Code, GatewayError
from facegate.gateway.gallery import Embeddings, Neighbour, Origin, Person


@dataclass
class MemoryGallery:
    """A facegate.gateway.gallery.Gallery. `ready` is what is_ready says."""

    ready: bool = True
    closed: bool = False
    _people: dict[str, Person] = field(default_factory=dict)
    _photos: dict[str, list[tuple[str, NDArray[np.float32]]]] = field(default_factory=dict)

    async def enroll(self, name: str, labels: Mapping[str, str], embeddings: Embeddings, origin: Origin) -> Person:
        person = Person(uuid.uuid4().hex, name, dict(labels), datetime.now(timezone.utc), 0)
        self._people[person.id], self._photos[person.id] = person, []
        return await self.add_photos(person.id, embeddings, origin)

    async def add_photos(self, person_id: str, embeddings: Embeddings, origin: Origin) -> Person:
        photos = self._photos_of(person_id)
        photos += [(origin.embedding_digest, row) for row in embeddings]
        self._people[person_id] = replace(self._people[person_id], photos=len(photos))
        return self._people[person_id]

    async def search(self, embedding: NDArray[np.float32], origin: Origin, count: int) -> list[Neighbour]:
        near = []
        for person_id, photos in self._photos.items():
            distances = [1 - float(row @ embedding) for digest, row in photos if digest == origin.embedding_digest]
            if distances:
                near.append(Neighbour(self._people[person_id], min(distances)))
        return sorted(near, key=lambda each: each.distance)[:count]

    async def forget(self, person_id: str) -> None:
        self._photos_of(person_id)
        del self._people[person_id], self._photos[person_id]

    async def people(self, after: str, count: int) -> Sequence[Person]:
        return [self._people[key] for key in sorted(self._people) if key > after][:count]

    async def is_ready(self) -> bool:
        return self.ready

    async def close(self) -> None:
        self.closed = True

    def _photos_of(self, person_id: str) -> list[tuple[str, NDArray[np.float32]]]:
        if person_id not in self._photos:
            raise GatewayError(Code.NOT_FOUND, "no such person", "person_id")
        return self._photos[person_id]
