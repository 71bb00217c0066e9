"""A gallery to a file, whichever store it is in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TextIO

from server.gateway.gallery import Person
from server.gateway.gallery.records import Record
from server.gateway.gallery.transfer_format import Head, Tail, person_line

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

    Whoever is enrolled or forgotten meanwhile is in it or not. Raises ServeError, GatewayError and OSError.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(opened, "w", encoding="utf-8") as file:
            tail = _write(source, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink()
        raise
    _keep_name(path.parent)
    return tail


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
