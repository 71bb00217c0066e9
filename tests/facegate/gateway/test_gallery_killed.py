"""kill -9 at any moment of 1,000 enrolments: none that was acknowledged is lost, none is half, none comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from facegate.gateway.gallery.open import open_source
from facegate.gateway.gallery.records import Record
from support.galleries import KEY, ORIGIN, embeddings, opened
from support.gallery_process import photos_of
from support.serving import ROOT

ROUNDS = 5
PEOPLE = 1_000
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}


@dataclass
class Acknowledged:
    """Names by id."""

    enrolled: dict[str, str] = field(default_factory=dict)
    forgotten: dict[str, str] = field(default_factory=dict)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_gallery_whose_process_is_killed_keeps_its_word(tmp_path: Path, key: str | None) -> None:
    file = tmp_path / "people.db"
    told = Acknowledged()
    for number in range(ROUNDS):
        enrol_and_be_killed(file, key, told, start=number * 10_000, people=PEOPLE // ROUNDS)
        asyncio.run(check_search(file, key, told))
        data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        there = check_records(file, key, told)
        assert not [name for name in told.forgotten.values() if photos_of(name)[0].tobytes() in data]
        assert all(key or record.photos[-1].vector.tobytes() in data for record in there.values())
    assert len(told.enrolled) >= PEOPLE
    assert len(told.forgotten) >= PEOPLE // 4


def enrol_and_be_killed(file: Path, key: str | None, told: Acknowledged, *, start: int, people: int) -> None:
    """Another process enrols; it is killed at some moment after so many people."""
    command = [sys.executable, "-m", "support.gallery_process", str(file), str(start), *([key] if key else [])]
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        while sum(line.startswith("enrolled") for line in lines) < people:
            lines.append(process.stdout.readline())
            assert lines[-1], "the process ended by itself"
        time.sleep(random.random() * 0.01)
        process.kill()
        lines += process.stdout.readlines()
    for line in lines:
        if line.endswith("\n"):
            what, person, name = line.split()
            (told.enrolled if what == "enrolled" else told.forgotten)[person] = name


async def check_search(file: Path, key: str | None, told: Acknowledged) -> None:
    """The gallery opens, and who was acknowledged is found."""
    async with opened(str(file), key) as gallery:
        for person, name in list(told.enrolled.items())[-100:]:
            (near,) = await gallery.search(photos_of(name)[-1], ORIGIN, 1)
            if person in told.forgotten:
                assert near.person.id != person
            elif int(name.partition("-")[2]) % 3:  # the others were perhaps just being forgotten
                assert (near.person.id, near.person.name) == (person, name)


def check_records(file: Path, key: str | None, told: Acknowledged) -> dict[str, Record]:
    """Everybody in the gallery is whole; everybody acknowledged is in it. Who is in it."""
    with contextlib.closing(open_source(str(file), key)) as source:
        there = source.records([person.id for person in source.people("", 100_000)])
    for record in there.values():
        kept = np.stack([photo.vector for photo in record.photos])
        assert np.array_equal(kept, photos_of(record.name))
        assert record.labels == {"number": record.name.partition("-")[2]}
    assert not there.keys() & told.forgotten.keys()
    lost = told.enrolled.keys() - told.forgotten.keys() - there.keys()
    assert all(int(told.enrolled[person].partition("-")[2]) % 3 == 0 for person in lost)  # forgotten, not yet told
    assert len(lost) <= 3 * ROUNDS
    return there


KILLED_AFTER_COMMIT = """
import asyncio, os, signal, sys
from facegate.gateway.gallery.sqlite.writer import SqliteWriter
from support.galleries import opened
async def run():
    async with opened(sys.argv[1]) as gallery:
        SqliteWriter.clean = lambda self: self._unclean and os.kill(os.getpid(), signal.SIGKILL)
        await gallery.forget(sys.argv[2])
asyncio.run(run())
"""


def test_who_was_forgotten_when_the_process_was_killed_is_in_no_file_after_the_next_start(tmp_path: Path) -> None:
    """Killed after the commit and before what it left in the file and its log was written over."""
    file = tmp_path / "people.db"

    def is_in_a_file() -> bool:
        data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        return b"Anna" in data or embeddings(1).tobytes() in data

    async def enrol() -> str:
        async with opened(str(file)) as gallery:
            return (await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)).id

    async def start_again() -> None:
        async with opened(str(file)) as gallery:
            assert await gallery.people("", 1) == []
            assert not is_in_a_file()

    person = asyncio.run(enrol())
    killed = subprocess.run([sys.executable, "-c", KILLED_AFTER_COMMIT, str(file), person], cwd=ROOT, env=ENVIRONMENT)
    assert killed.returncode == -signal.SIGKILL
    assert is_in_a_file()
    asyncio.run(start_again())
