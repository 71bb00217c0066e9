"""What only a shared gallery does, on a real PostgreSQL with pgvector."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from facegate.errors import ServeError
from facegate.gateway.errors import Code, GatewayError
from facegate.gateway.gallery.open import open_gallery
from facegate.gateway.gallery.postgres import gallery as gateway_postgres
from support.galleries import KEY, ORIGIN, Postgres, embeddings, opened, postgres


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture
def address(database: Postgres) -> str:
    return database.database()


def refusal(address: str, key: str | None = None) -> str:
    with pytest.raises(ServeError) as raised:
        open_gallery(address, key)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_gateways_that_start_at_once_share_the_people(address: str) -> None:
    async def run() -> None:
        with ThreadPoolExecutor(6) as threads:  # the first has to make the tables, whichever that is
            galleries = list(threads.map(lambda _: open_gallery(address, None), range(6)))
        people = await asyncio.gather(
            *(gallery.enroll(f"{n}", {}, embeddings(2, seed=n), ORIGIN) for n, gallery in enumerate(galleries))
        )
        for n, gallery in enumerate(galleries):
            (near,) = await gallery.search(embeddings(2, seed=5 - n)[1], ORIGIN, 1)
            assert near.person == people[5 - n]
        await galleries[0].forget(people[1].id)
        assert [person.name for person in await galleries[5].people("", 10)] == ["0", "2", "3", "4", "5"]
        for gallery in galleries:
            await gallery.close()

    asyncio.run(run())


def test_a_person_who_is_just_being_forgotten_gets_no_photos_that_stay(address: str) -> None:
    async def run() -> None:
        async with opened(address) as one, opened(address) as other:
            for n in range(20):
                person = await one.enroll(f"{n}", {}, embeddings(1), ORIGIN)
                await asyncio.gather(
                    one.forget(person.id),
                    other.add_photos(person.id, embeddings(3), ORIGIN),
                    return_exceptions=True,
                )
            assert await one.people("", 10) == []
        with psycopg.connect(address) as connection:
            assert connection.execute("SELECT count(*) FROM facegate.photo").fetchone() == (0,)

    asyncio.run(run())


def administer(database: Postgres, name: str, statement: str) -> None:
    """Run a statement, and end every connection to the named database."""
    with psycopg.connect(database.database(), autocommit=True) as connection:
        connection.execute(statement)
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


def test_a_database_that_was_started_anew_costs_no_call(database: Postgres, address: str) -> None:
    name = urlsplit(address).path.removeprefix("/")

    async def run() -> None:
        async with opened(address) as gallery:
            person = await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
            await asyncio.to_thread(administer, database, name, "SELECT 1")
            assert await gallery.people("", 1) == [person]

    asyncio.run(run())


def test_a_database_that_is_away_is_said_until_it_is_back(
    database: Postgres, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_postgres, "CONNECT_SECONDS", 1)
    name = urlsplit(address).path.removeprefix("/")

    async def run() -> None:
        async with opened(address) as gallery:
            await asyncio.to_thread(administer, database, name, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            with pytest.raises(GatewayError) as raised:
                await gallery.people("", 1)
            failure = raised.value.failure
            assert (failure.code, failure.retry_after_s) == (Code.UNAVAILABLE, 1.0)
            assert failure.message == "the gallery's database does not answer; try again shortly"
            await asyncio.to_thread(administer, database, name, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            for _ in range(50):  # the pool tries again by itself
                with contextlib.suppress(GatewayError):
                    assert await gallery.people("", 1) == []
                    break
            else:
                pytest.fail("the gallery did not come back")

    asyncio.run(run())


def test_a_database_that_only_reads_is_said_as_one_that_is_away(database: Postgres, address: str) -> None:
    name = urlsplit(address).path.removeprefix("/")

    async def run() -> None:
        async with opened(address) as gallery:
            person = await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
            only_reads = f"ALTER DATABASE {name} SET default_transaction_read_only = on"
            await asyncio.to_thread(administer, database, name, only_reads)
            with pytest.raises(GatewayError, match="does not answer") as raised:
                await gallery.forget(person.id)
            assert raised.value.failure.code is Code.UNAVAILABLE

    asyncio.run(run())


def test_who_is_forgotten_during_a_search_leaves_no_gap(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second person may be what makes the first one ambiguous."""

    async def run() -> None:
        async with opened(address) as gallery, opened(address) as other:
            for n in range(3):
                await gallery.enroll(f"{n}", {}, embeddings(1, seed=n), ORIGIN)
            order = [near.person for near in await gallery.search(embeddings(1)[0], ORIGIN, 3)]
            names_of = gateway_postgres._people

            async def late(*asked: Any) -> Any:
                await other.forget(order[0].id)
                return await names_of(*asked)

            monkeypatch.setattr(gateway_postgres, "_people", late)
            assert [near.person for near in await gallery.search(embeddings(1)[0], ORIGIN, 2)] == order[:2]
            monkeypatch.undo()
            assert [near.person for near in await gallery.search(embeddings(1)[0], ORIGIN, 2)] == order[1:]

    asyncio.run(run())


def test_what_cannot_be_used_is_refused_in_a_line_without_the_password(database: Postgres, address: str) -> None:
    socket = parse_qs(urlsplit(address).query)["host"][0]
    for wrong in (
        "postgresql://somebody:secret@127.0.0.1:1/people",
        f"postgresql://postgres:secret@/nobody?host={socket}",
        f"postgresql://stranger:secret@/postgres?host={socket}",
        "postgresql://some:secret@[bad",
    ):
        said = refusal(wrong)
        assert said.startswith("the gallery's PostgreSQL cannot be reached: ")
        assert "secret" not in said
    assert "PostgreSQL has to read embeddings" in refusal(address, KEY)
    open_gallery(address, None)
    with psycopg.connect(address) as connection:
        connection.execute("UPDATE facegate.about SET version = 2")
    assert "has version 2; this FaceGate knows 1" in refusal(address)


def test_search_reads_every_embedding_and_no_index(address: str) -> None:
    """An approximate index would make it inexact."""
    open_gallery(address, None)
    with psycopg.connect(address) as connection:
        indexed = connection.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = 'facegate'").fetchall()
    assert indexed
    assert not any("embedding" in definition for (definition,) in indexed)
