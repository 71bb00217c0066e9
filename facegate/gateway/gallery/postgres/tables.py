"""The gallery's tables in a PostgreSQL database, and what is asked of them."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from datetime import timezone
from typing import Any

import psycopg
import psycopg_pool
from pgvector import Vector
from pgvector.psycopg import register_vector

from facegate.errors import ServeError
from facegate.gateway.errors import RETRY_S, Code, GatewayError
from facegate.gateway.gallery import Person
from facegate.gateway.gallery.records import STORED_TOLERANCE, Photo, Record, checksum

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
INSERT_PHOTO = """WITH added AS (
    INSERT INTO facegate.photo (person, embedding_digest, pack, created_at, embedding) VALUES (%s, %s, %s, %s, %b)
    RETURNING number)
INSERT INTO facegate.checksum (photo, value) SELECT number, %s FROM added"""

# A table of its own, and not a column of photo: an UPDATE of all photos would leave a dead row of each, which doubled
# the time of a search. Version 0.1 may serve the same database; what it adds has no checksum until the next start of a
# later version.
_MAKE_CHECKSUMS = """
CREATE TABLE facegate.checksum (
    photo bigint PRIMARY KEY REFERENCES facegate.photo ON DELETE CASCADE,
    value bytea NOT NULL
);
"""

# records.checksum, of the bytes that PostgreSQL sends and Vector.to_binary returns
_CHECKSUM = r"""sha256(convert_to(photo.person || '/' || photo.embedding_digest, 'UTF8') || '\x00'::bytea
    || vector_send(photo.embedding))"""
PHOTOS = "facegate.photo LEFT JOIN facegate.checksum ON checksum.photo = photo.number"
_UNIT = f"abs(vector_norm(photo.embedding) - 1) <= {STORED_TOLERANCE}"  # NaN is larger than any number here
DAMAGED = f"(NOT {_UNIT} OR coalesce(checksum.value <> {_CHECKSUM}, false))"
"""Whether a row of `PHOTOS` is damaged."""

_REMEDY = "restore a backup, or delete this photo (docs/gallery.md, Damaged photos)"

Row = Sequence[Any]

_log = logging.getLogger(__name__)


def connect(address: str, *, make: bool, writes: bool) -> psycopg.Connection[Any]:
    """A connection to a database that has the tables. With `make` they are made where there are none.

    With `writes` every photo is checked, and one without a checksum gets it. Raises ServeError, in which the address is
    not; one names a photo that is damaged.
    """
    try:
        connection = psycopg.connect(address, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.Error as error:
        raise ServeError(f"the gallery's PostgreSQL cannot be reached: {_reason(error)}") from None
    try:
        _prepare_tables(connection, make=make, writes=writes)
        register_vector(connection)
        if writes:
            _check_photos(connection)
    except psycopg.Error as error:
        connection.close()
        raise ServeError(f"the gallery's PostgreSQL cannot be used: {_reason(error)}") from None
    except ServeError:
        connection.close()
        raise
    return connection


def photos_and_damage(connection: psycopg.Connection[Any]) -> tuple[str, str]:
    """`PHOTOS` and `DAMAGED`, without checksums where the tables are as version 0.1 made them."""
    return (PHOTOS, DAMAGED) if _has_checksums(connection) else ("facegate.photo", f"(NOT {_UNIT})")


def damage(number: int, person_id: str) -> str:
    """A sentence about a damaged photo."""
    return f"the gallery's photo {number} of person {person_id} is damaged: {_REMEDY}"


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
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise GatewayError(
            Code.UNAVAILABLE, "the gallery's tables are no longer in the database", retry_after_s=RETRY_S
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
        (
            person_id,
            photo.origin.embedding_digest,
            photo.origin.pack,
            photo.created_at,
            vector,
            checksum(person_id, photo.origin.embedding_digest, vector.to_binary()),
        )
        for photo in photos
        for vector in [Vector(photo.vector)]
    ]


def _prepare_tables(connection: psycopg.Connection[Any], *, make: bool, writes: bool) -> None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        (there,) = connection.execute("SELECT to_regclass('facegate.about')").fetchone() or (None,)
        if there is None:
            if not make:
                raise ServeError("there is no gallery in this database: check the address; a gateway makes the tables")
            connection.execute(_MAKE)
            connection.execute("INSERT INTO facegate.about VALUES (%s)", [VERSION])
            _log.warning("there was no gallery in the database; created a new, empty one")
        (version,) = connection.execute("SELECT version FROM facegate.about").fetchone() or (None,)
        if version != VERSION:
            raise ServeError(f"the database's gallery has version {version}; this FaceGate knows {VERSION}")
        if writes and not _has_checksums(connection):
            connection.execute(_MAKE_CHECKSUMS)


def _has_checksums(connection: psycopg.Connection[Any]) -> bool:
    return connection.execute("SELECT to_regclass('facegate.checksum')").fetchone() != (None,)


def _check_photos(connection: psycopg.Connection[Any]) -> None:
    """Check every photo, and give those without a checksum one: all of them or none."""
    found = connection.execute(
        f"SELECT number, person FROM {PHOTOS} WHERE {DAMAGED} ORDER BY number LIMIT 1"  # noqa: S608
    )
    if row := found.fetchone():
        raise ServeError(damage(*row))
    without = f"FROM {PHOTOS} WHERE checksum.photo IS NULL"
    if connection.execute(f"SELECT {without} LIMIT 1").fetchone() is None:
        return  # a database that only reads can be searched
    added = connection.execute(
        f"INSERT INTO facegate.checksum SELECT number, {_CHECKSUM} {without} AND {_UNIT} ON CONFLICT DO NOTHING"
    )
    _log.warning("PostgreSQL: %d photos without a checksum were checked and given one", added.rowcount)


def _reason(error: psycopg.Error) -> str:
    """The server's own sentence, or the error's name: what libpq says on its own may hold a part of the address."""
    return error.diag.message_primary or type(error).__name__
