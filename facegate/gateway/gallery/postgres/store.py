"""A gallery in PostgreSQL as export and import use it, one call after another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timezone

import numpy as np

from facegate.errors import ServeError
from facegate.gateway.gallery import Origin, Person
from facegate.gateway.gallery.postgres.tables import (
    INSERT_PERSON,
    INSERT_PHOTO,
    SELECT_PEOPLE,
    connect,
    damage,
    person_of,
    person_row,
    photo_rows,
    photos_and_damage,
    told,
)
from facegate.gateway.gallery.records import Photo, Record


class PostgresStore:
    """A connection, which makes the tables only where it `writes`. Raises ServeError when there is none to be had.

    Methods raise GatewayError, and ServeError for a photo that is damaged.
    """

    def __init__(self, address: str, *, writes: bool) -> None:
        self._connection = connect(address, make=writes, writes=writes)
        with told():
            self._photos, self._damaged = photos_and_damage(self._connection)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def people(self, after: str, count: int) -> list[Person]:
        """At most `count` people whose id is greater than `after`, in the order of their ids."""
        with told():
            found = self._connection.execute(SELECT_PEOPLE + "WHERE id > %s ORDER BY id LIMIT %s", [after, count])
            return [person_of(row) for row in found.fetchall()]

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """Those of the named people who are there, with their photos."""
        photos: dict[str, list[Photo]] = {}
        with told(), self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            people = self._connection.execute(SELECT_PEOPLE + "WHERE id = ANY(%s)", [list(ids)]).fetchall()
            for number, person, digest, pack, created_at, vector, is_damaged in self._connection.execute(
                f"SELECT number, person, embedding_digest, pack, created_at, embedding, {self._damaged} "  # noqa: S608
                f"FROM {self._photos} WHERE person = ANY(%s) ORDER BY number",
                [list(ids)],
                binary=True,
            ):
                if is_damaged:
                    raise ServeError(damage(number, person))
                kept = np.asarray(vector.to_numpy(), np.float32)
                photos.setdefault(person, []).append(
                    Photo(Origin(pack, digest), created_at.astimezone(timezone.utc), kept)
                )
        return {
            person.id: Record(
                person.id, person.name, person.labels, person.registered_at, tuple(photos.get(person.id, ()))
            )
            for person in map(person_of, people)
        }

    def dims(self) -> dict[str, int]:
        """How long the embeddings of each recognizer are, by its digest."""
        with told():
            found = self._connection.execute(
                "SELECT DISTINCT embedding_digest, vector_dims(embedding) FROM facegate.photo"
            )
            return dict(found.fetchall())

    def write(self, records: Sequence[Record]) -> None:
        """Add people of new ids, all or none."""
        with told(), self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(INSERT_PERSON, [person_row(record) for record in records])
            cursor.executemany(INSERT_PHOTO, [row for each in records for row in photo_rows(each.id, each.photos)])
