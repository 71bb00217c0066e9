"""A gallery to a file, whichever store it is in."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TextIO

from facegate.errors import ServeError
from facegate.gateway.gallery import Person
from facegate.gateway.gallery.records import Record
from facegate.gateway.gallery.transfer_format import Head, Tail, parse, person_line

PEOPLE_AT_A_TIME = 200


class Source(Protocol):
    """A store to read."""

    def people(self, after: str, count: int) -> Sequence[Person]:
        """At most `count` people whose id is greater than `after`, in the order of their ids."""

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """Those of the named people who are there."""

    def close(self) -> None:
        """Give back what is open."""


def export_people(source: Source, path: Path) -> Tail:
    """Write everybody to a file that only its owner can read: the whole file or none. How many it has.

    Whoever is enrolled or forgotten meanwhile is in it or not. Replaces an earlier export and nothing else. Raises
    ServeError, GatewayError and OSError.
    """
    path = path.resolve()
    _check(path)
    _remove_left_over(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ServeError(f"{path.parent}: nothing can be written into this folder: {error.strerror}") from error
    try:
        with open(opened, "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # not left over while this lasts
            tail = _write(source, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _keep_name(path.parent)
    return tail


def _check(path: Path) -> None:
    """Raises ServeError where a file would be lost that is no export: the gallery itself, by whichever name, too."""
    if not path.exists():
        return
    try:
        if not path.is_file():  # what is read from a device or a pipe is gone
            raise ServeError("not a file")
        with path.open("rb") as file:
            parse(Head, file.readline(200), "line 1")
    except ServeError:
        raise ServeError(f"{path}: is there and is not an earlier export: choose another name") from None


def _remove_left_over(path: Path) -> None:
    """A process that was killed leaves plain embeddings behind. One that still writes has its file locked."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):  # BlockingIOError, and what somebody else has put there
            opened = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
            finally:
                os.close(opened)


def _write(source: Source, file: TextIO) -> Tail:
    people = photos = 0
    after = ""
    file.write(Head().model_dump_json() + "\n")
    while page := source.people(after, PEOPLE_AT_A_TIME):
        after = page[-1].id
        for record in source.records([person.id for person in page]).values():
            file.write(person_line(record) + "\n")
            people += 1
            photos += len(record.photos)
    tail = Tail(people=people, photos=photos)
    file.write(tail.model_dump_json() + "\n")
    return tail


def _keep_name(directory: Path) -> None:
    """A new name is on the disk when its directory is."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
