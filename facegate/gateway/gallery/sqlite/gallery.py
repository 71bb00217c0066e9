"""The gallery of one gateway: people in a SQLite file, their embeddings in memory as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facegate.errors import ServeError
from facegate.gateway.errors import GatewayError
from facegate.gateway.gallery import Embeddings, Neighbour, Origin, Person
from facegate.gateway.gallery.ids import new_id
from facegate.gateway.gallery.matrix import Matrix
from facegate.gateway.gallery.records import Photo, Record, photos_of, utc_now
from facegate.gateway.gallery.sealing import Seal
from facegate.gateway.gallery.sqlite.reader import SqliteReader
from facegate.gateway.gallery.sqlite.writer import SqliteWriter

Result = TypeVar("Result")


class SqliteGallery:
    """A Gallery in a file, which no other process writes meanwhile.

    One thread writes and one reads and searches, each with a connection of its own. What runs in the writing thread
    goes on when the task that waits for it is cancelled; what has not begun is then not done. Raises ServeError for a
    file that cannot be opened.
    """

    def __init__(self, path: Path, seal: Seal | None, *, must_exist: bool = False) -> None:
        self._matrices: dict[str, Matrix] = {}
        self._uncleaned: set[str] = set()  # forgotten people whose callers were told that it is not done yet
        self._written = SqliteWriter(path, seal, must_exist=must_exist)
        try:
            for digest, people, embeddings in self._written.embeddings():
                self._matrix(digest, embeddings.shape[1]).add(people, embeddings)
            self._read = SqliteReader(path, seal)
        except GatewayError as error:
            self._written.close()
            raise ServeError(f"{path}: {error}") from error
        except BaseException:
            self._written.close()
            raise
        self._writer = ThreadPoolExecutor(1, "gallery-write")
        self._reader = ThreadPoolExecutor(1, "gallery-read")

    async def enroll(self, name: str, labels: Mapping[str, str], embeddings: Embeddings, origin: Origin) -> Person:
        """See Gallery."""
        return await _in(self._writer, lambda: self._enroll(name, labels, embeddings, origin))

    async def add_photos(self, person_id: str, embeddings: Embeddings, origin: Origin) -> Person:
        """See Gallery."""
        return await _in(self._writer, lambda: self._add_photos(person_id, embeddings, origin))

    async def search(self, embedding: NDArray[np.float32], origin: Origin, count: int) -> list[Neighbour]:
        """See Gallery. Of equally near people, who was enrolled first."""
        return await _in(self._reader, lambda: self._search(embedding, origin, count))

    async def forget(self, person_id: str) -> None:
        """See Gallery. Raises UNAVAILABLE where another program reads the file all the time: then call again."""
        await _in(self._writer, lambda: self._forget(person_id))

    async def people(self, after: str, count: int) -> Sequence[Person]:
        """See Gallery."""
        return await _in(self._reader, lambda: self._people(after, count))

    async def is_ready(self) -> bool:
        """See Gallery. Raises UNAVAILABLE with the reason where a write would fail."""
        await _in(self._writer, self._written.check_writable)
        return True

    async def close(self) -> None:
        """See Gallery."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reader.shutdown()
        self._writer.shutdown()
        self._read.close()
        self._written.close()

    def _enroll(self, name: str, labels: Mapping[str, str], embeddings: Embeddings, origin: Origin) -> Person:
        now = utc_now()
        record = Record(new_id(), name, labels, now, photos_of(embeddings, origin, now))
        (number,) = self._written.write([record])
        self._remember(number, record.photos, origin)
        self._written.clean_if_unread()
        return record.person

    def _add_photos(self, person_id: str, embeddings: Embeddings, origin: Origin) -> Person:
        photos = photos_of(embeddings, origin, utc_now())
        number, person = self._written.add_photos(person_id, photos)
        self._remember(number, photos, origin)
        self._written.clean_if_unread()
        return person

    def _forget(self, person_id: str) -> None:
        self._written.check_identity()  # the second call for a person writes nothing
        self._written.clean()  # what an earlier call could not
        if person_id in self._uncleaned:  # and this is that call again
            self._uncleaned.remove(person_id)
            return
        number = self._written.forget(person_id)
        for matrix in list(self._matrices.values()):
            matrix.remove(number)
        self._uncleaned.add(person_id)
        self._written.clean()
        self._uncleaned.remove(person_id)

    def _search(self, embedding: NDArray[np.float32], origin: Origin, count: int) -> list[Neighbour]:
        self._written.check_identity()
        matrix = self._matrices.get(origin.embedding_digest)
        if matrix is None:
            return []
        asked = count
        while True:
            found = matrix.nearest(embedding, asked)
            people = self._read.people_of([number for number, _ in found])
            near = [Neighbour(people[number], distance) for number, distance in found if number in people]
            if len(near) >= count or len(found) < asked:
                return near[:count]
            asked += len(found) - len(near)  # for those who were forgotten in between, the next ones

    def _people(self, after: str, count: int) -> Sequence[Person]:
        self._written.check_identity()
        return self._read.people(after, count)

    def _remember(self, number: int, photos: Sequence[Photo], origin: Origin) -> None:
        embeddings = np.stack([photo.vector for photo in photos])
        people = np.full(len(embeddings), number, np.int64)
        self._matrix(origin.embedding_digest, embeddings.shape[1]).add(people, embeddings)

    def _matrix(self, digest: str, dim: int) -> Matrix:
        return self._matrices.setdefault(digest, Matrix(dim))


async def _in(thread: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(thread, work)
