"""What a gallery's SQLite file holds, read as values."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate.errors import ServeError
from facegate.gateway.errors import RETRY_S, Code, GatewayError
from facegate.gateway.gallery import Embeddings, Origin, Person
from facegate.gateway.gallery.records import STORED_TOLERANCE, Photo, Record, are_unit, bound_to, checksum
from facegate.gateway.gallery.sealing import Seal
from facegate.gateway.gallery.sqlite.file import connect, has_checksums, reason

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_PEOPLE = """SELECT number, id, name, labels, registered_at, (SELECT count(*) FROM photo WHERE person = person.number)
FROM person WHERE """
_PHOTOS = """SELECT photo.number, person.number, id, embedding_digest, pack, dim, created_at, vector, {checksum}
FROM photo LEFT JOIN person ON photo.person = person.number
LEFT JOIN recognizer ON recognizer = recognizer.number {join}
WHERE photo.person IS NOT NULL AND """


class SqliteReader:
    """The gallery's file at `path`, which another process may write at the same time. For threads that take turns.

    Raises ServeError when it cannot be opened; methods raise GatewayError.
    """

    def __init__(self, path: Path, seal: Seal | None, *, writes: bool = False, make: bool = False) -> None:
        self._path = path
        self._seal = seal
        self._connection = connect(path, seal, writes=writes, make=make)
        # A file of version 0.1 that no later version has written yet has no checksums.
        with told():
            has_them = has_checksums(self._connection)
        join = "LEFT JOIN checksum ON checksum.photo = photo.number" if has_them else ""
        self._photos = _PHOTOS.format(checksum="checksum.value" if has_them else "NULL", join=join)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def people(self, after: str, count: int) -> list[Person]:
        """At most `count` people whose id is greater than `after`, in the order of their ids."""
        with told():
            return [person for _, person in self._people("id > ? ORDER BY id LIMIT ?", [after, count])]

    def people_of(self, numbers: Sequence[int]) -> dict[int, Person]:
        """Those of the numbered people who are there."""
        with told():
            return dict(self._people(f"id IS NOT NULL AND number IN ({_marks(numbers)})", numbers))

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """Those of the named people who are there, with their photos, as of one moment."""
        with self._transaction("DEFERRED"):
            people = dict(self._people(f"id IN ({_marks(ids)})", ids))
            photos: dict[int, list[Photo]] = {number: [] for number in people}
            chosen = f"photo.person IN ({_marks(people)}) ORDER BY photo.number"
            for row in self._connection.execute(self._photos + chosen, list(people)):
                _, person, _, digest, pack, _, created_at, *_ = row
                photos[person].append(Photo(Origin(pack, digest), _moment(created_at), self._vector(row)))
        return {
            person.id: Record(person.id, person.name, person.labels, person.registered_at, tuple(photos[number]))
            for number, person in people.items()
        }

    def embeddings(self, most: int = 4096) -> Iterator[tuple[str, NDArray[np.int64], Embeddings]]:
        """Every embedding, at most `most` at a time: the recognizer's digest, whose each is, [N], and they, [N, D].

        Raises ServeError that names a photo that is damaged.
        """
        with told():
            kept = self._connection.execute(self._photos + "TRUE ORDER BY photo.number")
            while rows := kept.fetchmany(most):
                found: dict[str, list[Sequence[Any]]] = {}
                for row in rows:
                    found.setdefault(row[3], []).append(row)
                for digest, group in found.items():
                    vectors = [self._stored(row) for row in group]
                    if len({len(vector) for vector in vectors}) > 1 or not are_unit(
                        np.stack(vectors), STORED_TOLERANCE
                    ):
                        vectors = [self._vector(row) for row in group]  # raises for the damaged one
                    yield digest, np.array([person for _, person, *_ in group], np.int64), np.stack(vectors)

    def dims(self) -> dict[str, int]:
        """How long the embeddings of each recognizer are, by its digest."""
        return {digest: dim for _, digest, dim in self._recognizers()}

    def _recognizers(self) -> list[tuple[int, str, int]]:
        with told():
            return self._connection.execute("SELECT number, embedding_digest, dim FROM recognizer").fetchall()

    def _people(self, condition: str, values: Sequence[Any]) -> list[tuple[int, Person]]:
        return [
            (number, Person(person_id, name, json.loads(labels), _moment(registered_at), photos))
            for number, person_id, name, labels, registered_at, photos in self._connection.execute(
                _PEOPLE + condition, values
            ).fetchall()
        ]

    def _vector(self, row: Sequence[Any]) -> NDArray[np.float32]:
        """The embedding of a row of `_PHOTOS`, of length one. Raises ServeError that names a damaged photo."""
        vector = self._stored(row)
        if not are_unit(vector[np.newaxis], STORED_TOLERANCE):
            raise self._damaged(row, "not finite, or not of length one")
        return vector

    def _stored(self, row: Sequence[Any]) -> NDArray[np.float32]:
        """As `_vector`, but for the check of its length, which is faster for many at a time."""
        *_, person_id, digest, _, dim, _, stored, expected = row
        if person_id is None or digest is None:
            raise self._damaged(row, "its person or its recognizer is missing")
        if expected is not None and checksum(person_id, digest, stored) != expected:
            raise self._damaged(row, "its checksum does not match")
        if self._seal is not None:
            try:
                stored = self._seal.unseal(stored, bound_to(person_id, digest))
            except ServeError as error:
                raise self._damaged(row, str(error)) from None
        if len(stored) != 4 * dim:
            raise self._damaged(row, f"expected {4 * dim} bytes, found {len(stored)}")
        return np.frombuffer(stored, "<f4")

    def _damaged(self, row: Sequence[Any], why: str) -> ServeError:
        photo, _, person_id, *_ = row
        return ServeError(
            f"{self._path}: photo {photo} of person {person_id} is damaged: {why}; "
            "restore a backup, or delete this photo (docs/gallery.md, Damaged photos)"
        )

    @contextlib.contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        with told():
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


@contextlib.contextmanager
def told() -> Iterator[None]:
    """A file that cannot be read or written now is UNAVAILABLE: no space, no access, no answer of the disk.

    One that is damaged is INTERNAL: asking again does not help.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise GatewayError(Code.UNAVAILABLE, f"the gallery's file: {error}", retry_after_s=RETRY_S) from error
    except sqlite3.DatabaseError as error:
        raise GatewayError(Code.INTERNAL, f"the gallery's file: {reason(error)}") from error


def microseconds(moment: datetime) -> int:
    """Since 1970, as the file has a moment."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)


def _marks(values: Sequence[Any] | dict[int, Any]) -> str:
    return ", ".join("?" * len(values))
