"""What every store of people does: a file, a sealed file and PostgreSQL alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegate.gateway.errors import Code, GatewayError
from facegate.gateway.gallery import Gallery
from facegate_client.errors import ServerFault
from support.galleries import KEY, ORIGIN, OTHER, Postgres, embeddings, opened, postgres

Open = Callable[[], Any]


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(params=["file", "sealed file", "PostgreSQL"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens one and the same gallery, as often as one likes."""
    if request.param == "PostgreSQL":
        address = request.getfixturevalue("database").database()
        return lambda: opened(address)
    key = KEY if request.param == "sealed file" else None
    return lambda: opened(str(tmp_path / "people.db"), key)


def found(gallery: Gallery, vector: Any, count: int = 5, origin: Any = ORIGIN) -> Any:
    return gallery.search(vector, origin, count)


def test_who_is_enrolled_is_found_with_name_and_labels_and_after_a_new_start(place: Open) -> None:
    vectors = embeddings(4)

    async def run() -> None:
        async with place() as gallery:
            assert await gallery.people("", 10) == []
            assert await found(gallery, vectors[0]) == []
            anna = await gallery.enroll("Anna Ångström 🙂", {"z": "first", "a": ""}, vectors[:2], ORIGIN)
            bert = await gallery.enroll("Bert", {}, vectors[2:3], ORIGIN)
            assert (anna.name, list(anna.labels.items()), anna.photos) == (
                "Anna Ångström 🙂",
                [("z", "first"), ("a", "")],
                2,
            )
            assert timedelta(0) <= datetime.now(timezone.utc) - anna.registered_at < timedelta(minutes=1)
            before = await found(gallery, vectors[1])
            assert [near.person for near in before] == [anna, bert]  # of two photos the nearer one, and once
            assert before[0].distance == pytest.approx(0, abs=1e-6)
            assert before[1].distance == pytest.approx(1 - float(vectors[1] @ vectors[2]), abs=1e-6)
            assert [near.person for near in await found(gallery, vectors[1], 1)] == [anna]
        async with place() as gallery:
            assert await gallery.is_ready()
            assert await found(gallery, vectors[1]) == before
            assert await gallery.people("", 10) == [anna, bert]

    asyncio.run(run())


def test_photos_are_added_to_who_is_there_and_to_nobody_else(place: Open) -> None:
    vectors = embeddings(3)

    async def run() -> None:
        async with place() as gallery:
            anna = await gallery.enroll("Anna", {"a": "b"}, vectors[:1], ORIGIN)
            more = await gallery.add_photos(anna.id, vectors[1:], ORIGIN)
            assert (more.id, more.name, more.labels, more.registered_at, more.photos) == (
                anna.id,
                "Anna",
                {"a": "b"},
                anna.registered_at,
                3,
            )
            assert [(near.person, near.distance < 1e-6) for near in await found(gallery, vectors[2])] == [(more, True)]
            with pytest.raises(GatewayError) as raised:
                await gallery.add_photos("0" * 32, vectors[1:], ORIGIN)
            assert raised.value.failure.code is Code.NOT_FOUND

    asyncio.run(run())


def test_embeddings_of_two_recognizers_are_never_compared(place: Open) -> None:
    async def run() -> None:
        async with place() as gallery:
            anna = await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
            assert await found(gallery, embeddings(1)[0], origin=OTHER) == []
            both = await gallery.add_photos(anna.id, embeddings(1, 512), OTHER)  # and as long as it likes
            bert = await gallery.enroll("Bert", {}, embeddings(1, 512, seed=1), OTHER)
            assert [near.person for near in await found(gallery, embeddings(1)[0])] == [both]
            near = await found(gallery, embeddings(1, 512)[0], origin=OTHER)
            assert [each.person for each in near] == [both, bert]
            await gallery.forget(anna.id)
            assert await found(gallery, embeddings(1)[0]) == []
            assert [each.person for each in await found(gallery, embeddings(1, 512)[0], origin=OTHER)] == [bert]

    asyncio.run(run())


def test_who_is_forgotten_is_gone_for_good(place: Open) -> None:
    vectors = embeddings(3)

    async def run() -> None:
        async with place() as gallery:
            people = [await gallery.enroll(f"{n}", {}, vectors[n : n + 1], ORIGIN) for n in range(3)]
            await gallery.forget(people[0].id)
            for again in (gallery.forget(people[0].id), gallery.add_photos(people[0].id, vectors[:1], ORIGIN)):
                with pytest.raises(GatewayError) as raised:
                    await again
                assert raised.value.failure.code is Code.NOT_FOUND
        async with place() as gallery:
            assert {near.person.id for near in await found(gallery, vectors[0])} == {each.id for each in people[1:]}
            assert await gallery.people("", 10) == people[1:]
            later = await gallery.enroll("later", {}, vectors[:1], ORIGIN)  # takes nobody's place
            assert [near.person for near in await found(gallery, vectors[0], 1)] == [later]

    asyncio.run(run())


def test_people_are_listed_by_pages_in_the_order_of_their_ids(place: Open) -> None:
    async def run() -> None:
        async with place() as gallery:
            everybody = [await gallery.enroll(f"{n}", {}, embeddings(1, seed=n), ORIGIN) for n in range(7)]
            pages, after = [], ""
            while page := await gallery.people(after, 3):
                pages.append(page)
                after = page[-1].id
            assert [len(page) for page in pages] == [3, 3, 1]
            assert [person for page in pages for person in page] == sorted(everybody, key=lambda person: person.id)

    asyncio.run(run())


def test_the_nearest_are_those_of_a_plain_search_whoever_has_many_photos(place: Open) -> None:
    """One of them has more photos near the query than people are asked for."""
    vectors = embeddings(400, seed=3)
    owners = np.random.default_rng(4).integers(1, 40, 400)
    query = embeddings(1, seed=5)[0]
    vectors[:120] = (query + 0.02 * vectors[:120]) / np.linalg.norm(query + 0.02 * vectors[:120], axis=1)[:, None]
    owners[:120] = 0
    distances = 1 - vectors.astype(np.float64) @ query.astype(np.float64)
    nearest = sorted((distances[owners == owner].min(), f"{owner}") for owner in np.unique(owners))

    async def run() -> None:
        async with place() as gallery:
            for owner in np.unique(owners):
                await gallery.enroll(f"{owner}", {}, vectors[owners == owner], ORIGIN)
            for count in (1, 2, 10, 1000):
                near = await found(gallery, query, count)
                assert [each.person.name for each in near] == [name for _, name in nearest[:count]]
                assert [each.distance for each in near] == pytest.approx([far for far, _ in nearest[:count]], abs=1e-6)

    asyncio.run(run())


def test_embeddings_of_another_length_than_their_recognizers_are_refused(place: Open) -> None:
    async def run() -> None:
        async with place() as gallery:
            anna = await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
            for again in (
                gallery.enroll("Bert", {}, embeddings(1, 64), ORIGIN),
                gallery.add_photos(anna.id, embeddings(1, 64), ORIGIN),
            ):
                with pytest.raises(ServerFault, match="have 128 values in the gallery, and now 64"):
                    await again
            assert [near.person for near in await found(gallery, embeddings(1)[0])] == [anna]

    asyncio.run(run())


def test_a_cancelled_enrolment_is_there_whole_or_not_at_all(place: Open) -> None:
    vectors = embeddings(4)

    async def run() -> None:
        async with place() as gallery:
            for pause in range(12):
                task = asyncio.create_task(gallery.enroll(f"{pause}", {}, vectors, ORIGIN))
                await asyncio.sleep(pause * 0.0004)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            last = await gallery.enroll("last", {}, vectors, ORIGIN)  # after whatever still goes on
            people = await gallery.people("", 100)
            assert last in people
            assert all(person.photos == 4 for person in people)
        async with place() as gallery:
            assert await gallery.people("", 100) == people
            assert {near.person.id for near in await found(gallery, vectors[0], 100)} == {each.id for each in people}

    asyncio.run(run())


@pytest.mark.parametrize("bad", [np.zeros((1, 128)), np.full((1, 128), np.nan), np.ones((1, 128)), np.zeros((0, 128))])
def test_what_is_no_embedding_is_not_remembered(place: Open, bad: Any) -> None:
    async def run() -> None:
        async with place() as gallery:
            with pytest.raises(ServerFault):
                await gallery.enroll("Anna", {}, bad.astype(np.float32), ORIGIN)
            assert await gallery.people("", 10) == []

    asyncio.run(run())
