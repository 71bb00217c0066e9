"""Whatever is done to a gallery in a file, in any order, it is as a plain dictionary would be."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from numpy.typing import NDArray

from facegate.gateway.gallery import Origin, Person
from facegate.gateway.gallery.open import open_gallery
from support.galleries import KEY, ORIGIN, OTHER, embeddings

DIMS = {ORIGIN: 16, OTHER: 24, Origin("the same net in another pack", ORIGIN.embedding_digest): 16}
origins = st.sampled_from(list(DIMS))
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
seeds = st.integers(0, 12)  # few, so that some people have the same photo


class GalleryMachine(RuleBasedStateMachine):
    people = Bundle("people")

    @initialize(key=st.sampled_from([None, KEY]))
    def begin(self, key: str | None) -> None:
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.place = str(Path(self.directory.name) / "people.db"), key
        self.gallery = open_gallery(*self.place)
        self.model: dict[str, tuple[str, dict[str, str], list[tuple[str, NDArray[np.float32]]]]] = {}

    def teardown(self) -> None:
        self.done(self.gallery.close())
        self.loop.close()
        self.directory.cleanup()

    def done(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    @rule(target=people, name=text, labels=st.dictionaries(text, text, max_size=3), origin=origins, seed=seeds)
    def enroll(self, name: str, labels: dict[str, str], origin: Origin, seed: int) -> str:
        vectors = embeddings(1 + seed % 3, DIMS[origin], seed)
        person = self.done(self.gallery.enroll(name, labels, vectors, origin))
        assert person.id not in self.model
        self.model[person.id] = name, labels, [(origin.embedding_digest, vector) for vector in vectors]
        assert self.seen(person) == person.id
        return person.id

    @rule(person_id=people, origin=origins, seed=seeds)
    def add_photos(self, person_id: str, origin: Origin, seed: int) -> None:
        vectors = embeddings(1 + seed % 2, DIMS[origin], seed)
        person = self.done(self.gallery.add_photos(person_id, vectors, origin))
        self.model[person_id][2].extend((origin.embedding_digest, vector) for vector in vectors)
        assert self.seen(person) == person_id

    @rule(person_id=consumes(people))
    def forget(self, person_id: str) -> None:
        self.done(self.gallery.forget(person_id))
        del self.model[person_id]

    @rule(origin=origins, seed=seeds, count=st.integers(1, 6))
    def search(self, origin: Origin, seed: int, count: int) -> None:
        query = embeddings(1, DIMS[origin], seed)[0]
        near = self.done(self.gallery.search(query, origin, count))
        distances = {
            person_id: min(1 - float(vector.astype(float) @ query.astype(float)) for vector in vectors)
            for person_id, (_, _, photos) in self.model.items()
            if (vectors := [vector for digest, vector in photos if digest == origin.embedding_digest])
        }
        assert len(near) == min(count, len(distances))
        expected = sorted(distances.values())[:count]
        assert np.allclose([each.distance for each in near], np.clip(expected, 0, 2), atol=1e-9)
        assert np.allclose([distances[self.seen(each.person)] for each in near], expected, atol=1e-9)
        assert len({each.person.id for each in near}) == len(near)

    @rule()
    def reopen(self) -> None:
        self.done(self.gallery.close())
        self.gallery = open_gallery(*self.place)

    @invariant()
    def everybody_is_there(self) -> None:
        assert [self.seen(person) for person in self.done(self.gallery.people("", 1000))] == sorted(self.model)

    def seen(self, person: Person) -> str:
        name, labels, photos = self.model[person.id]
        assert (person.name, dict(person.labels), person.photos) == (name, labels, len(photos))
        return person.id


TestGallery = GalleryMachine.TestCase
TestGallery.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
