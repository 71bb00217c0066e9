"""The gallery that several gateways share: PostgreSQL with pgvector, which also searches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import Vector
from pgvector.psycopg import register_vector_async
from psycopg_pool import AsyncConnectionPool

from facegate.gateway.errors import RETRY_S, Code, GatewayError
from facegate.gateway.gallery import Embeddings, Neighbour, Origin, Person
from facegate.gateway.gallery.ids import new_id
from facegate.gateway.gallery.postgres.tables import (
    CONNECT_SECONDS,
    DAMAGED,
    INSERT_PERSON,
    INSERT_PHOTO,
    PHOTOS,
    SELECT_PEOPLE,
    connect,
    damage,
    person_of,
    person_row,
    photo_rows,
    told,
)
from facegate.gateway.gallery.records import Photo, Record, check_dim, photos_of, utc_now
from facegate_ensemble.pipeline.verification import check_cosines

CONNECTIONS = 4
"""Searches keep a core of the database busy each; gateways are several."""

PROBE_MS = 1_000
"""How long `is_ready` waits for the lock of another client."""

# Only the photos that are found are checked for damage. In one SELECT the sort would copy every embedding.
_NEAREST = f"""WITH near AS MATERIALIZED (
    SELECT number, embedding <=> %b AS distance FROM facegate.photo WHERE embedding_digest = %s
    ORDER BY distance, person LIMIT %s)
SELECT person, distance, number, {DAMAGED} FROM near JOIN ({PHOTOS}) USING (number) ORDER BY distance, person
"""  # noqa: S608

Connection = psycopg.AsyncConnection[Any]


class PostgresGallery:
    """A Gallery. Raises ServeError for a database that cannot be reached, or not with these tables."""

    def __init__(self, address: str, *, must_exist: bool = False) -> None:
        connect(address, make=not must_exist, writes=True).close()
        self._pool = AsyncConnectionPool(
            address,
            kwargs={"autocommit": True, "connect_timeout": CONNECT_SECONDS},
            min_size=1,
            max_size=CONNECTIONS,
            timeout=CONNECT_SECONDS,
            configure=register_vector_async,
            check=AsyncConnectionPool.check_connection,  # a database that was started anew costs no call
            open=False,  # it belongs to the event loop of the first call
        )
        self._opening = asyncio.Lock()
        self._dims: dict[str, int] = {}  # of recognizers that somebody was remembered by, by their digests

    async def enroll(self, name: str, labels: Mapping[str, str], embeddings: Embeddings, origin: Origin) -> Person:
        """See Gallery."""
        now = utc_now()
        record = Record(new_id(), name, labels, now, photos_of(embeddings, origin, now))
        async with self._transaction() as connection:
            await self._check_dim(connection, origin, embeddings.shape[1])
            await connection.execute(INSERT_PERSON, person_row(record))
            await _add(connection, record.id, record.photos)
        return record.person

    async def add_photos(self, person_id: str, embeddings: Embeddings, origin: Origin) -> Person:
        """See Gallery."""
        photos = photos_of(embeddings, origin, utc_now())
        async with self._transaction() as connection:
            # the lock keeps the person from being forgotten in between
            there = await connection.execute("SELECT 1 FROM facegate.person WHERE id = %s FOR KEY SHARE", [person_id])
            if await there.fetchone() is None:
                raise _not_there()
            await self._check_dim(connection, origin, embeddings.shape[1])
            await _add(connection, person_id, photos)
            return (await _people(connection, "WHERE id = %s", [person_id]))[0]

    async def search(self, embedding: NDArray[np.float32], origin: Origin, count: int) -> list[Neighbour]:
        """See Gallery. Of equally near people, the one of the lower id."""
        async with self._transaction() as connection:
            # everything as of one moment: whoever is forgotten in between leaves no gap
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            near = await _nearest(connection, embedding, origin, count)
            found = await _people(connection, "WHERE id = ANY(%s)", [list(near)])
        people = {person.id: person for person in found}
        return [Neighbour(people[each], distance) for each, distance in near.items()]

    async def forget(self, person_id: str) -> None:
        """See Gallery, but for the bytes: those stay in PostgreSQL's files until it writes over them."""
        async with self._transaction() as connection:
            gone = await connection.execute("DELETE FROM facegate.person WHERE id = %s", [person_id])
            if gone.rowcount == 0:
                raise _not_there()

    async def people(self, after: str, count: int) -> Sequence[Person]:
        """See Gallery."""
        async with self._transaction() as connection:
            return await _people(connection, "WHERE id > %s ORDER BY id LIMIT %s", [after, count])

    async def is_ready(self) -> bool:
        """See Gallery. Raises UNAVAILABLE with the reason where a write would fail."""
        async with self._transaction() as connection:
            await connection.execute(f"SET LOCAL lock_timeout = '{PROBE_MS}ms'")
            await connection.execute("LOCK TABLE facegate.person, facegate.photo IN ROW EXCLUSIVE MODE")
            found = await connection.execute("SELECT current_setting('transaction_read_only')")
            if await found.fetchone() != ("off",):
                raise GatewayError(Code.UNAVAILABLE, "the gallery's database is read-only", retry_after_s=RETRY_S)
        return True

    async def close(self) -> None:
        """See Gallery."""
        await self._pool.close()

    async def _check_dim(self, connection: Connection, origin: Origin, dim: int) -> None:
        """Raises ServerFault where others of the recognizer have another length: no search could compare them."""
        digest = origin.embedding_digest
        if digest not in self._dims:
            found = await connection.execute(
                "SELECT vector_dims(embedding) FROM facegate.photo WHERE embedding_digest = %s LIMIT 1", [digest]
            )
            row = await found.fetchone()
            if row is None:  # the first; it is there, and known, when its transaction is done
                return
            self._dims[digest] = row[0]
        check_dim(self._dims[digest], dim)

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        with told():
            async with self._opening:
                if self._pool.closed:
                    await self._pool.open()
            async with self._pool.connection() as connection, connection.transaction():
                yield connection


async def _add(connection: Connection, person_id: str, photos: Sequence[Photo]) -> None:
    async with connection.cursor() as cursor:
        await cursor.executemany(INSERT_PHOTO, photo_rows(person_id, photos))


async def _people(connection: Connection, condition: str, values: Sequence[Any]) -> list[Person]:
    found = await connection.execute(SELECT_PEOPLE + condition, values)
    return [person_of(row) for row in await found.fetchall()]


async def _nearest(
    connection: Connection, embedding: NDArray[np.float32], origin: Origin, count: int
) -> dict[str, float]:
    """The nearest people's ids and distances. The nearest photos are asked for, more until they are of enough people:
    PostgreSQL takes a third of the time for them that it takes to find the nearest photo of everybody."""
    photos = 4 * count
    while True:
        found = await connection.execute(_NEAREST, [Vector(embedding), origin.embedding_digest, photos])
        rows = await found.fetchall()
        check_cosines(1.0 - np.array([distance for _, distance, *_ in rows], np.float64))
        near: dict[str, float] = {}
        for person, distance, number, is_damaged in rows:
            if is_damaged:
                raise GatewayError(Code.INTERNAL, damage(number, person))
            near.setdefault(person, min(max(float(distance), 0.0), 2.0))
        if len(near) >= count or len(rows) < photos:
            return dict(list(near.items())[:count])
        photos *= 4


def _not_there() -> GatewayError:
    return GatewayError(Code.NOT_FOUND, "there is no person of this id", "person_id")
