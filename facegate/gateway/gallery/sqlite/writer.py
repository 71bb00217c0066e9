"""The one writer of a gallery's SQLite file."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from facegate.errors import ServeError
from facegate.gateway.errors import RETRY_S, Code, GatewayError
from facegate.gateway.gallery import Person
from facegate.gateway.gallery.file_lock import Identity, keep_private, lock, unlock
from facegate.gateway.gallery.records import Photo, Record, bound_to, check_dim, checksum
from facegate.gateway.gallery.sealing import Seal
from facegate.gateway.gallery.sqlite.file import no_gallery
from facegate.gateway.gallery.sqlite.reader import SqliteReader, microseconds, told

REWRITE_FROM = 1_000
"""Forgotten photos since the file was last written anew from which on a start does so, where most photos are forgotten:
their space is used by nobody else."""


MIN_FREE_BYTES = 2**20
"""Free space under which the gallery is not ready: an enrollment of 16 photos of 512 values takes a tenth of it."""

PROBE_MS = 1_000
"""How long `check_writable` waits for another program's lock."""

_log = logging.getLogger(__name__)


class SqliteWriter(SqliteReader):
    """What a method has written is on the disk. A file that is missing or empty is made, unless it `must_exist`.

    Raises ServeError also where another process writes the file. Methods raise UNAVAILABLE when the file at the path
    is no longer the one that was opened.
    """

    def __init__(self, path: Path, seal: Seal | None, *, must_exist: bool = False) -> None:
        named = path.absolute()
        path = path.resolve()
        if must_exist and not path.exists():
            raise no_gallery(path)
        self._lock = lock(path)
        try:
            super().__init__(path, seal, writes=True, make=not must_exist)
        except BaseException:
            unlock(self._lock)
            raise
        self._unclean = True  # a process that was killed may have left forgotten people in the log
        self._failed = self._moved = False
        try:
            self.clean()
            with told():
                self._give_space_back()
            files = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
            for file in files:
                keep_private(file)
            # Where `path` is a symbolic link, the next start opens what it points to then.
            self._identity = Identity(named, *files)
            if not self._identity.is_locked(named, self._lock):
                raise ServeError(f"{path}: replaced while it was opened: start again")
            self._add_checksums()
        except GatewayError as error:
            self.close()
            raise ServeError(f"{path}: {error}") from error
        except BaseException:
            self.close()
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
            self._connection.execute(  # as long as before, and so overwritten where it is
                "UPDATE checksum SET value = zeroblob(32) WHERE photo IN (SELECT number FROM photo WHERE person = ?)",
                [number],
            )
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
        with self._waiting(0), contextlib.suppress(GatewayError):
            self.clean()

    def check_identity(self) -> None:
        """Raises UNAVAILABLE when another file, or none, is at the path: what is written to the open one is lost."""
        changed = self._identity.changed()
        if changed is not None and not self._moved:
            _log.error(
                "%s was removed, renamed or replaced while the gallery was in use: put it back, or restart the gateway "
                "with what is there now. Until then nothing is read or stored",
                changed,
            )
        self._moved = changed is not None
        if self._moved:
            raise GatewayError(
                Code.UNAVAILABLE,
                "the gallery is unavailable: its file was removed, renamed or replaced; nothing was stored",
                retry_after_s=RETRY_S,
            )

    def check_writable(self) -> None:
        """Raises UNAVAILABLE when a write would fail now. Writes only where the last write failed."""
        self.check_identity()
        space = os.fstatvfs(self._lock)
        if space.f_flag & os.ST_RDONLY:
            raise GatewayError(Code.UNAVAILABLE, "the gallery's file system is read-only", retry_after_s=RETRY_S)
        if space.f_bavail * space.f_frsize < MIN_FREE_BYTES:
            raise GatewayError(Code.UNAVAILABLE, "the gallery's file system is full", retry_after_s=RETRY_S)
        with self._waiting(PROBE_MS), self._transaction("IMMEDIATE"):
            if self._failed:
                self._connection.execute("INSERT OR REPLACE INTO about VALUES ('probe', x'')")

    @contextlib.contextmanager
    def _waiting(self, wait_ms: int) -> Iterator[None]:
        """Other programs' locks are waited for only so long."""
        (before,) = self._connection.execute("PRAGMA busy_timeout").fetchone()
        self._connection.execute(f"PRAGMA busy_timeout = {wait_ms}")
        try:
            yield
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {before}")

    @contextlib.contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        try:
            with super()._transaction(kind):
                yield
                self.check_identity()
        except GatewayError as error:
            self._failed = self._failed or error.failure.code is Code.UNAVAILABLE
            raise
        self._failed = False

    def _add_checksums(self) -> None:
        """Check every photo without a checksum, as version 0.1 left them, and give it one: all of them or none."""
        with self._transaction("IMMEDIATE"):
            added = []
            for row in self._connection.execute(self._photos + "checksum.photo IS NULL"):
                self._vector(row)
                photo, _, person_id, digest, *_, stored, _ = row
                added.append((photo, checksum(person_id, digest, stored)))
            self._connection.executemany("INSERT INTO checksum (photo, value) VALUES (?, ?)", added)
        if added:
            _log.warning("%s: %d photos without a checksum were checked and given one", self._path, len(added))

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
            added = self._connection.execute(
                "INSERT INTO photo (person, recognizer, created_at, vector) VALUES (?, ?, ?, ?)",
                (number, self._recognizer(photo), microseconds(photo.created_at), vector),
            )
            self._connection.execute(
                "INSERT INTO checksum (photo, value) VALUES (?, ?)",
                (added.lastrowid, checksum(person_id, photo.origin.embedding_digest, vector)),
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
        self._connection.execute("DELETE FROM checksum WHERE photo IN (SELECT number FROM photo WHERE person IS NULL)")
        self._connection.execute("VACUUM")
        self._connection.execute("INSERT OR REPLACE INTO about VALUES ('rewritten', ?)", [str(gone).encode()])
        self._unclean = True
        self.clean()
