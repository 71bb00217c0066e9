"""The gallery's tables in a PostgreSQL database, and what is asked of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import timezone
from typing import Any

import psycopg
import psycopg_pool
from pgvector import Vector
from pgvector.psycopg import register_vector

from server.errors import ServeError
from server.gateway.errors import RETRY_S, Code, GatewayError
from server.gateway.gallery import Person
from server.gateway.gallery.records import Photo, Record

VERSION = 1
CONNECT_SECONDS = 5
_LOCK = 0x46614761
"""Of PostgreSQL's advisory locks: who starts first makes the tables, the others wait."""

# labels are json and not jsonb, which changes their order. An embedding has any length, for recognizers differ, and
# stays in its row (MAIN): 512 values, put elsewhere by default, take three times as long to search. It has no index, so
# that what is found is exact.
_MAKE = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE SCHEMA IF NOT EXISTS facegate;
CREATE TABLE facegate.about (version integer NOT NULL);
CREATE TABLE facegate.person (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    labels json NOT NULL,
    registered_at timestamptz NOT NULL
);
CREATE TABLE facegate.photo (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person text COLLATE "C" NOT NULL REFERENCES facegate.person ON DELETE CASCADE,
    embedding_digest text NOT NULL,
    pack text NOT NULL,
    created_at timestamptz NOT NULL,
    embedding vector NOT NULL
);
ALTER TABLE facegate.photo ALTER embedding SET STORAGE MAIN;
CREATE INDEX photo_person ON facegate.photo (person);
"""

SELECT_PEOPLE = """SELECT id, name, labels::text, registered_at,
    (SELECT count(*) FROM facegate.photo WHERE person = person.id) FROM facegate.person """
INSERT_PERSON = "INSERT INTO facegate.person (id, name, labels, registered_at) VALUES (%s, %s, %s, %s)"
INSERT_PHOTO = """INSERT INTO facegate.photo (person, embedding_digest, pack, created_at, embedding)
    VALUES (%s, %s, %s, %s, %b)"""

Row = Sequence[Any]


def connect(address: str) -> psycopg.Connection[Any]:
    """A connection to a database that has the tables. Raises ServeError, in which the address is not."""
    try:
        connection = psycopg.connect(address, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.Error as error:
        raise ServeError(f"the gallery's PostgreSQL cannot be reached: {_reason(error)}") from None
    try:
        _make_tables(connection)
        register_vector(connection)
    except psycopg.Error as error:
        connection.close()
        raise ServeError(f"the gallery's PostgreSQL cannot be used: {_reason(error)}") from None
    except ServeError:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def told() -> Iterator[None]:
    """A database that does not answer, or that only reads (a standby), is UNAVAILABLE.

    Its own words may name hosts and users, and are for the log.
    """
    try:
        yield
    except (
        psycopg.OperationalError,
        psycopg.errors.ReadOnlySqlTransaction,
        psycopg_pool.PoolTimeout,
        psycopg_pool.PoolClosed,
    ) as error:
        raise GatewayError(
            Code.UNAVAILABLE, "the gallery's database does not answer; try again shortly", retry_after_s=RETRY_S
        ) from error


def person_of(row: Row) -> Person:
    """A row of `SELECT_PEOPLE`."""
    person_id, name, labels, registered_at, photos = row
    return Person(person_id, name, json.loads(labels), registered_at.astimezone(timezone.utc), photos)


def person_row(record: Record) -> Row:
    """What `INSERT_PERSON` takes."""
    return record.id, record.name, json.dumps(dict(record.labels), ensure_ascii=False), record.registered_at


def photo_rows(person_id: str, photos: Sequence[Photo]) -> list[Row]:
    """What `INSERT_PHOTO` takes."""
    return [
        (person_id, photo.origin.embedding_digest, photo.origin.pack, photo.created_at, Vector(photo.vector))
        for photo in photos
    ]


def _make_tables(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        (there,) = connection.execute("SELECT to_regclass('facegate.about')").fetchone() or (None,)
        if there is None:
            connection.execute(_MAKE)
            connection.execute("INSERT INTO facegate.about VALUES (%s)", [VERSION])
        (version,) = connection.execute("SELECT version FROM facegate.about").fetchone() or (None,)
    if version != VERSION:
        raise ServeError(f"the database's gallery has version {version}; this FaceGate knows {VERSION}")


def _reason(error: psycopg.Error) -> str:
    """The server's own sentence, or the error's name: what libpq says on its own may hold a part of the address."""
    return error.diag.message_primary or type(error).__name__
