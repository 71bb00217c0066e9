"""A file of people into a gallery, whichever store it is in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol

from facegate.errors import ServeError
from facegate.gateway.gallery.exporting import PEOPLE_AT_A_TIME, Source
from facegate.gateway.gallery.records import Photo, Record
from facegate.gateway.gallery.transfer_format import Head, PersonLine, Tail, parse

MOST_LINE = 64 * 2**20
"""Bytes of a person's line: some 20,000 photos of 512 values."""


class Destination(Source, Protocol):
    """A store to write to."""

    def dims(self) -> dict[str, int]:
        """How long the embeddings of each recognizer are, by its digest."""

    def write(self, records: Sequence[Record]) -> object:
        """Add people of new ids, all or none."""


def import_people(destination: Destination, path: Path) -> tuple[int, int]:
    """Add everybody of a file who is not there. How many those are, and how many were there already, all the same.

    Nothing is written before the whole file was looked through. An import that was interrupted can be run again. Raises
    ServeError for a file that is no good, or that has somebody who is there and differs; GatewayError and OSError.
    """
    with path.open("rb") as file:
        there = _check(destination, file, path.name)
        file.seek(0)
        added = 0
        for people in _pages(file, path.name):
            new = [record for record in people if record.id not in there]
            destination.write(new)
            added += len(new)
    return added, len(there)


def _check(destination: Destination, file: BinaryIO, name: str) -> set[str]:
    """The ids of those who are there already."""
    seen: set[str] = set()
    there: set[str] = set()
    dims = destination.dims()
    for people in _pages(file, name):
        known = destination.records([record.id for record in people])
        for record in people:
            who = f"{name}: person {record.id}"
            if record.id in seen:
                raise ServeError(f"{who} is in it twice")
            seen.add(record.id)
            if any(
                dims.setdefault(each.origin.embedding_digest, each.vector.size) != each.vector.size
                for each in record.photos
            ):
                raise ServeError(f"{who} has an embedding that is not as long as others of its recognizer")
            if record.id in known:
                if not _same(record, known[record.id]):
                    raise ServeError(f"{who} is in the gallery already, and is not the same there")
                there.add(record.id)
    return there


def _pages(file: BinaryIO, name: str) -> Iterator[list[Record]]:
    records = _records(file, name)
    while page := list(islice(records, PEOPLE_AT_A_TIME)):
        yield page


def _records(file: BinaryIO, name: str) -> Iterator[Record]:
    """Everybody in the file. Raises ServeError for a line that is no good, and at the end where that is missing."""
    parse(Head, file.readline(MOST_LINE), f"{name}, line 1")
    people = photos = 0
    number = 1
    while line := file.readline(MOST_LINE):
        number += 1
        where = f"{name}, line {number}"
        if line.startswith(b'{"people"'):
            if parse(Tail, line, where) != Tail(people=people, photos=photos) or file.readline(1):
                raise ServeError(f"{where}: this should be the end, of {people} people and {photos} photos")
            return
        record = parse(PersonLine, line, where).record()
        people += 1
        photos += len(record.photos)
        yield record
    raise ServeError(f"{name}: cut off after line {number}: its last line says how many people it has")


def _same(one: Record, other: Record) -> bool:
    return (one.person, list(map(_content, one.photos))) == (other.person, list(map(_content, other.photos)))


def _content(photo: Photo) -> tuple[object, ...]:
    return photo.origin, photo.created_at, photo.vector.astype("<f4").tobytes()
