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

from server.errors import ServeError
from server.gateway.errors import RETRY_S, Code, GatewayError
from server.gateway.gallery import Embeddings, Origin, Person
from server.gateway.gallery.records import Photo, Record
from server.gateway.gallery.sealing import Seal
from server.gateway.gallery.sqlite_file import connect, reason

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_PEOPLE = """SELECT number, id, name, labels, registered_at, (SELECT count(*) FROM photo WHERE person = person.number)
FROM person WHERE """
_PHOTOS = """SELECT person, embedding_digest, pack, dim, created_at, vector
FROM photo JOIN recognizer ON recognizer = recognizer.number WHERE """


class SqliteReader:
    """The gallery's file at `path`, which another process may write at the same time. For threads that take turns.

    Raises ServeError when it cannot be opened; methods raise GatewayError.
    """

    def __init__(self, path: Path, seal: Seal | None, *, writes: bool = False) -> None:
        if not path.is_file():
            raise ServeError(f"{path}: there is no gallery")
        self._path = path
        self._seal = seal
        self._connection = connect(path, seal, writes=writes)

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
            chosen = f"person IN ({_marks(people)}) ORDER BY photo.number"
            for number, digest, pack, dim, created_at, kept in self._connection.execute(_PHOTOS + chosen, list(people)):
                vector = self._vector(kept, people[number].id, digest, dim)
                photos[number].append(Photo(Origin(pack, digest), _moment(created_at), vector))
        return {
            person.id: Record(person.id, person.name, person.labels, person.registered_at, tuple(photos[number]))
            for number, person in people.items()
        }

    def embeddings(self, most: int = 4096) -> Iterator[tuple[str, NDArray[np.int64], Embeddings]]:
        """Every embedding, at most `most` at a time: the recognizer's digest, whose each is, [N], and they, [N, D]."""
        with told():
            for number, digest, dim in self._recognizers():
                kept = self._connection.execute(
                    "SELECT person.number, id, vector FROM photo JOIN person ON person = person.number "
                    "WHERE recognizer = ? ORDER BY photo.number",
                    [number],
                )
                while rows := kept.fetchmany(most):
                    vectors = [self._vector(vector, person_id, digest, dim) for _, person_id, vector in rows]
                    yield digest, np.array([person for person, *_ in rows], np.int64), np.stack(vectors)

    def dims(self) -> dict[str, int]:
        """How long the embeddings of each recognizer are, by its digest."""
        return {digest: dim for _, digest, dim in self._recognizers()}

    def answers(self) -> bool:
        """Whether the file can be read."""
        with told():
            return bool(self._connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone())

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

    def _vector(self, kept: bytes, person_id: str, digest: str, dim: int) -> NDArray[np.float32]:
        if self._seal is not None:
            kept = self._seal.unseal(kept, bound_to(person_id, digest))
        if len(kept) != 4 * dim:
            raise ServeError(
                f"{self._path}: changed by another hand: an embedding has {len(kept)} bytes, not {4 * dim}"
            )
        return np.frombuffer(kept, "<f4")

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


def bound_to(person_id: str, digest: str) -> bytes:
    """What a sealed embedding is sealed to, so that it proves nothing in another person's row."""
    return f"{person_id}/{digest}".encode()


def microseconds(moment: datetime) -> int:
    """Since 1970, as the file has a moment."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)


def _marks(values: Sequence[Any] | dict[int, Any]) -> str:
    return ", ".join("?" * len(values))
