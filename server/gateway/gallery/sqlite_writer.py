"""The one writer of a gallery's SQLite file."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from server.errors import ServeError
from server.gateway.errors import RETRY_S, Code, GatewayError
from server.gateway.gallery import Person
from server.gateway.gallery.file_lock import lock, unlock
from server.gateway.gallery.records import Photo, Record, check_dim
from server.gateway.gallery.sealing import Seal
from server.gateway.gallery.sqlite_reader import SqliteReader, bound_to, microseconds, told

REWRITE_FROM = 1_000
"""Forgotten photos since the file was last written anew from which on a start does so, where most photos are forgotten:
their space is used by nobody else."""


class SqliteWriter(SqliteReader):
    """What a method has written is on the disk. A file that is not there is made.

    Raises ServeError also where another process writes the file.
    """

    def __init__(self, path: Path, seal: Seal | None) -> None:
        path = path.resolve()
        self._lock = lock(path)
        self._unclean = True  # a process that was killed may have left forgotten people in the log
        try:
            super().__init__(path, seal, writes=True)
            self.clean()
            with told():
                self._give_space_back()
        except GatewayError as error:
            self.close()
            raise ServeError(f"{path}: {error}") from error
        except BaseException:
            unlock(self._lock)
            raise

    def close(self) -> None:
        """Close the file, and let others write it."""
        super().close()
        unlock(self._lock)

    def write(self, records: Sequence[Record]) -> list[int]:
        """Add people of new ids, all or none; the number of each."""
        with self._transaction("IMMEDIATE"):
            return [self._write(record) for record in records]

    def add_photos(self, person_id: str, photos: Sequence[Photo]) -> tuple[int, Person]:
        """More photos of a person: their number, and how they are remembered now."""
        with self._transaction("IMMEDIATE"):
            self._add(self._number(person_id), person_id, photos)
            return self._people("id = ?", [person_id])[0]

    def forget(self, person_id: str) -> int:
        """Empty a person's rows; their number. Their bytes are in the files until `clean`."""
        with self._transaction("IMMEDIATE"):
            number = self._number(person_id)
            self._unclean = True
            self._connection.execute(
                "UPDATE photo SET person = NULL, created_at = 0, vector = x'' WHERE person = ?", [number]
            )
            self._connection.execute(
                "UPDATE person SET id = NULL, name = '', labels = '{}', registered_at = 0 WHERE number = ?", [number]
            )
        return number

    def clean(self) -> None:
        """Write what was forgotten over in the file, and empty the log. Raises UNAVAILABLE while somebody reads it."""
        if not self._unclean:
            return
        with told():
            (busy, *_) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise GatewayError(
                Code.UNAVAILABLE,
                "another program reads the gallery's file, so that what was forgotten is not yet written over",
                retry_after_s=RETRY_S,
            )
        self._unclean = False

    def clean_if_unread(self) -> None:
        """`clean` without waiting; what cannot be done is left for the next time."""
        if not self._unclean:
            return
        (wait_ms,) = self._connection.execute("PRAGMA busy_timeout").fetchone()
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            with contextlib.suppress(GatewayError):
                self.clean()
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {wait_ms}")

    def _write(self, record: Record) -> int:
        labels = json.dumps(dict(record.labels), ensure_ascii=False)
        row = (record.id, record.name, labels, microseconds(record.registered_at))
        added = self._connection.execute(
            "INSERT INTO person (id, name, labels, registered_at) VALUES (?, ?, ?, ?)", row
        )
        number = int(added.lastrowid or 0)
        self._add(number, record.id, record.photos)
        return number

    def _add(self, number: int, person_id: str, photos: Iterable[Photo]) -> None:
        for photo in photos:
            vector = photo.vector.astype("<f4").tobytes()
            if self._seal is not None:
                vector = self._seal.seal(vector, bound_to(person_id, photo.origin.embedding_digest))
            self._connection.execute(
                "INSERT INTO photo (person, recognizer, created_at, vector) VALUES (?, ?, ?, ?)",
                (number, self._recognizer(photo), microseconds(photo.created_at), vector),
            )

    def _recognizer(self, photo: Photo) -> int:
        origin, dim = photo.origin, len(photo.vector)
        for number, pack, known in self._connection.execute(
            "SELECT number, pack, dim FROM recognizer WHERE embedding_digest = ?", [origin.embedding_digest]
        ).fetchall():
            check_dim(known, dim)
            if pack == origin.pack:
                return int(number)
        added = self._connection.execute(
            "INSERT INTO recognizer (embedding_digest, pack, dim) VALUES (?, ?, ?)",
            (origin.embedding_digest, origin.pack, dim),
        )
        return int(added.lastrowid or 0)

    def _number(self, person_id: str) -> int:
        found = self._connection.execute("SELECT number FROM person WHERE id = ?", [person_id]).fetchone()
        if found is None:
            raise GatewayError(Code.NOT_FOUND, "there is no person of this id", "person_id")
        return int(found[0])

    def _give_space_back(self) -> None:
        count = "SELECT count(*) FROM photo WHERE person IS "
        (gone,) = self._connection.execute(count + "NULL").fetchone()
        (here,) = self._connection.execute(count + "NOT NULL").fetchone()
        before = self._connection.execute("SELECT value FROM about WHERE name = 'rewritten'").fetchone()
        if gone - (int(before[0]) if before else 0) <= max(REWRITE_FROM, here):
            return
        self._connection.execute("VACUUM")
        self._connection.execute("INSERT OR REPLACE INTO about VALUES ('rewritten', ?)", [str(gone).encode()])
        self._unclean = True
        self.clean()
