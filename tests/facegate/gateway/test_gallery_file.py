"""A gallery in a file: who may read it, what is refused, and that what is forgotten is not in it any more."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facegate.errors import ServeError
from facegate.gateway.errors import Code, GatewayError
from facegate.gateway.gallery.open import open_gallery, open_source
from facegate.gateway.gallery.sqlite import file as sqlite_file
from facegate.gateway.gallery.sqlite import writer as sqlite_writer
from support.galleries import KEY, ORIGIN, OTHER, embeddings, opened
from support.serving import ROOT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine" / "people.db"


def refusal(file: Path | str, key: str | None = None) -> str:
    with pytest.raises(ServeError) as raised:
        open_gallery(str(file), key)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def all_bytes(file: Path) -> bytes:
    """Of the file, its log and whatever else lies beside it."""
    return b"".join(path.read_bytes() for path in sorted(file.parent.iterdir()))


def pieces(data: bytes) -> set[bytes]:
    """Some, none of which may be found where the whole may not."""
    return {data[start : start + 16] for start in range(0, len(data) - 15, max(16, len(data) // 8))}


def kept_of(file: Path, person: str) -> bytes:
    """A person's embedding as the file has it, plain or sealed."""
    with contextlib.closing(sqlite3.connect(file)) as other:
        ((vector,),) = other.execute(
            "SELECT vector FROM photo JOIN person ON person = person.number WHERE id = ?", [person]
        ).fetchall()
    return bytes(vector)


def checksum_of(file: Path, person: str) -> bytes:
    """The checksum of a person's embedding."""
    with contextlib.closing(sqlite3.connect(file)) as other:
        ((value,),) = other.execute(
            "SELECT value FROM checksum JOIN photo ON photo.number = photo JOIN person ON person = person.number "
            "WHERE id = ?",
            [person],
        ).fetchall()
    return bytes(value)


async def enroll(file: Path, key: str | None = None, count: int = 1) -> list[str]:
    async with opened(str(file), key) as gallery:
        vectors = embeddings(count)
        return [(await gallery.enroll(f"{n}", {}, vectors[n : n + 1], ORIGIN)).id for n in range(count)]


def test_only_its_owner_can_read_it(file: Path) -> None:
    async def run() -> None:
        async with opened(str(file)) as gallery:
            await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
            assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
            assert set(modes) >= {"people.db", "people.db-wal"}
            assert set(modes.values()) == {0o600}

    asyncio.run(run())


def test_a_second_process_is_refused_until_the_first_is_done(file: Path) -> None:
    program = f"from facegate.gateway.gallery.open import open_gallery\nopen_gallery({str(file)!r}, None)"

    def second() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)

    async def run() -> subprocess.CompletedProcess[str]:
        async with opened(str(file)):
            return second()

    refused = asyncio.run(run())
    assert refused.returncode == 1
    assert "another process has this gallery; several gateways share a PostgreSQL" in refused.stderr
    assert second().returncode == 0


def test_another_name_of_the_file_lets_no_second_gateway_in(file: Path) -> None:
    async def run() -> None:
        async with opened(str(file)):
            assert not list(file.parent.glob("*lock"))  # which could be deleted
            link = file.with_name("link.db")
            link.symlink_to(file)
            hard = file.with_name("hard.db")
            hard.hardlink_to(file)
            for name in (file, link, hard):
                assert "another process has this gallery" in refusal(name)
                program = f"from facegate.gateway.gallery.open import open_gallery\nopen_gallery({str(name)!r}, None)"
                second = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
                assert "another process has this gallery" in second.stderr

    asyncio.run(run())


@pytest.mark.parametrize("name", ["", "below a file/people.db", "below a file/a/people.db", "pipe"])
def test_a_name_that_no_file_can_have_is_refused_in_a_line(file: Path, name: str) -> None:
    file.parent.mkdir()
    (file.parent / "below a file").touch()
    os.mkfifo(file.parent / "pipe")
    before = sorted(file.parent.rglob("*"))
    assert "cannot be a gallery's file" in refusal(file.parent / name)
    assert sorted(file.parent.rglob("*")) == before


def test_a_damaged_file_is_said_at_the_start_and_while_it_is_served(file: Path) -> None:
    asyncio.run(enroll(file, count=200))
    sound = file.read_bytes()

    def damage() -> None:
        data = bytearray(sound)
        for start in range(3 * sqlite_file.PAGE_BYTES, len(data), sqlite_file.PAGE_BYTES):
            data[start : start + 100] = b"\xff" * 100
        file.write_bytes(data)

    damage()
    assert "damaged, or never a gallery" in (said := refusal(file))
    assert "restore a backup" in said
    file.write_bytes(sound)

    async def run() -> None:
        async with opened(str(file)) as gallery:
            damage()
            with pytest.raises(GatewayError, match="restore a backup") as raised:
                await gallery.people("", 1000)
            assert raised.value.failure.code is Code.INTERNAL

    asyncio.run(run())


def test_what_is_no_gallery_of_ours_is_refused_and_stays_as_it_is(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"no database at all" * 100)
    assert "file is not a database" in refusal(file)
    assert file.read_bytes() == b"no database at all" * 100
    file.unlink()
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE theirs (a)")
    assert "another program's database" in refusal(file)
    assert "not http://" in refusal("http://somewhere/else")
    with pytest.raises(ServeError, match="there is no gallery"):
        open_source(str(file.with_name("none.db")), None)


def test_a_gallery_of_a_newer_version_is_refused(file: Path) -> None:
    asyncio.run(enroll(file))
    with sqlite3.connect(file) as newer:
        newer.execute(f"PRAGMA user_version = {sqlite_file.VERSION + 1}")
    assert "a gallery of version 2; this FaceGate knows 1" in refusal(file)


def test_a_sealed_gallery_opens_with_its_key_alone_and_holds_no_plain_embedding(file: Path) -> None:
    (person,) = asyncio.run(enroll(file, KEY))
    assert not any(piece in all_bytes(file) for piece in pieces(embeddings(1).tobytes()))
    assert "sealed: set FACEGATE_GATEWAY_GALLERY_KEY" in refusal(file)
    assert "not the key" in refusal(file, "ff" * 32)

    async def run() -> None:
        async with opened(str(file), base64.b64encode(bytes.fromhex(KEY)).decode()) as gallery:  # the same key
            (near,) = await gallery.search(embeddings(1)[0], ORIGIN, 1)
            assert (near.person.id, near.distance < 1e-6) == (person, True)

    asyncio.run(run())


def test_an_open_gallery_is_not_sealed_by_the_way(file: Path) -> None:
    asyncio.run(enroll(file))
    assert "facegate gallery export" in refusal(file, KEY)


@pytest.mark.parametrize("key", ["", "secret", "00" * 31, "zz" * 32, base64.b64encode(b"x" * 33).decode(), "ü" * 44])
def test_a_key_that_is_none_is_refused_and_not_told(file: Path, key: str) -> None:
    said = refusal(file, key)
    assert "expected 32 bytes in base64 or hexadecimal" in said
    assert not key or key not in said
    assert not file.exists()


def test_a_sealed_embedding_opens_in_its_own_row_alone(file: Path) -> None:
    asyncio.run(enroll(file, KEY, count=2))
    with sqlite3.connect(file) as other:
        first, second = (row[0] for row in other.execute("SELECT vector FROM photo ORDER BY number"))
        other.execute("UPDATE photo SET vector = ? WHERE number = 1", [second])
        other.execute("UPDATE photo SET vector = ? WHERE number = 2", [first])
    assert "photo 1 of person" in refusal(file, KEY)
    with sqlite3.connect(file) as other:
        other.execute("DROP TABLE checksum")  # as version 0.1 wrote it
    assert "photo 1 of person" in (said := refusal(file, KEY))
    assert "authentication failed" in said


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("dim", [16, 128, 512])
def test_a_forgotten_person_is_in_no_file(file: Path, key: str | None, dim: int) -> None:
    """Enrolled and forgotten in any order, so that SQLite would move rows about if it ever did."""
    choose = random.Random(dim)
    name = "name of {}, a person who will be forgotten".format
    here: dict[str, int] = {}
    gone: dict[int, bytes] = {}
    checksums: list[bytes] = []

    def no_trace() -> None:
        data = all_bytes(file)
        assert not [n for n, kept in gone.items() if name(n).encode() in data or any(x in data for x in pieces(kept))]
        assert not [each for each in checksums if any(piece in data for piece in pieces(each))]
        assert all(name(n).encode() in data and kept_of(file, person) in data for person, n in here.items())

    async def run() -> None:
        async with opened(str(file), key) as gallery:
            for n, vector in enumerate(embeddings(200, dim)):
                labels = {"kept": "with " + name(n), "long": "x" * choose.choice([0, 10, 5000])}
                here[(await gallery.enroll(name(n), labels, vector[np.newaxis], ORIGIN)).id] = n
                if choose.random() < 0.6:
                    person = choose.choice([choose.choice([*here]), min(here)])
                    checksums.append(checksum_of(file, person))
                    gone[here.pop(person)] = kept_of(file, person)
                    await gallery.forget(person)
                    if n % 40 == 0:
                        no_trace()
            no_trace()
        no_trace()

    asyncio.run(run())
    assert len(gone) > 80


@contextlib.contextmanager
def somebody_reading(file: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT * FROM photo").fetchall()
        yield
        reading.execute("COMMIT")


def test_what_is_forgotten_is_written_over_when_nobody_reads_it_any_more(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an export may read that hangs: said, not kept in silence, and made good by calling again."""
    monkeypatch.setattr(sqlite_file, "BUSY_MS", 50)
    (person,) = asyncio.run(enroll(file))

    async def run() -> None:
        async with opened(str(file)) as gallery:
            with somebody_reading(file):
                with pytest.raises(GatewayError, match="not yet written over") as raised:
                    await gallery.forget(person)
                assert raised.value.failure.code is Code.UNAVAILABLE
                assert await gallery.search(embeddings(1)[0], ORIGIN, 1) == []
                with pytest.raises(GatewayError, match="not yet written over"):
                    await gallery.forget(person)
            await gallery.forget(person)
            assert not any(piece in all_bytes(file) for piece in pieces(embeddings(1).tobytes()))

    asyncio.run(run())


def test_what_is_not_yet_written_over_is_so_with_the_next_enrolment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_MS", 50)
    (person,) = asyncio.run(enroll(file))

    async def run() -> None:
        async with opened(str(file)) as gallery:
            with somebody_reading(file):
                with pytest.raises(GatewayError, match="not yet written over"):
                    await gallery.forget(person)
                await gallery.enroll("while it is read", {}, embeddings(1, seed=1), ORIGIN)
            await gallery.enroll("later", {}, embeddings(1, seed=2), ORIGIN)
            assert not any(piece in all_bytes(file) for piece in pieces(embeddings(1).tobytes()))
            await gallery.forget(person)  # the caller who was told to come again
            with pytest.raises(GatewayError, match="no person"):
                await gallery.forget(person)

    asyncio.run(run())


def test_who_is_forgotten_during_a_search_leaves_no_gap(file: Path) -> None:
    """The second person may be what makes the first one ambiguous."""

    async def run() -> None:
        async with opened(str(file)) as gallery:
            query = embeddings(1)[0]
            for n in range(4):
                await gallery.enroll(f"{n}", {}, embeddings(1, seed=n), ORIGIN)
            order = [near.person for near in await gallery.search(query, ORIGIN, 4)]
            loop = asyncio.get_running_loop()
            names_of = gallery._read.people_of
            gone = iter(order[:2])

            def late(numbers: list[int]) -> object:
                """Two people are forgotten, one each time, after the nearest were found and before they are named."""
                if person := next(gone, None):
                    asyncio.run_coroutine_threadsafe(gallery.forget(person.id), loop).result(30)
                return names_of(numbers)

            gallery._read.people_of = late
            assert [near.person for near in await gallery.search(query, ORIGIN, 2)] == order[2:]

    asyncio.run(run())


def test_the_space_of_many_who_were_forgotten_is_given_back_at_the_next_start(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "REWRITE_FROM", 100)

    async def forget_all_but(kept: int) -> None:
        people = await enroll(file, KEY, count=300)
        async with opened(str(file), KEY) as gallery:
            for person in people[kept:]:
                await gallery.forget(person)

    asyncio.run(forget_all_but(100))
    full = file.stat().st_size
    asyncio.run(enroll(file, KEY, count=0))
    small = file.stat().st_size
    assert small < full / 2
    modified = file.stat().st_mtime_ns
    asyncio.run(enroll(file, KEY, count=0))  # once is enough
    assert file.stat().st_mtime_ns == modified

    async def run() -> None:
        async with opened(str(file), KEY) as gallery:
            assert len(await gallery.people("", 1000)) == 100
            assert (await gallery.search(embeddings(300)[50], ORIGIN, 1))[0].person.name == "50"

    asyncio.run(run())


def test_a_full_disk_is_said_and_costs_nothing_that_was_there(file: Path) -> None:
    async def run() -> None:
        async with opened(str(file)) as gallery:
            anna = await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
            gallery._written._connection.execute("PRAGMA max_page_count = 12")  # as a full disk answers
            with pytest.raises(GatewayError, match="full") as raised:
                await gallery.enroll("Carl", {}, embeddings(16, 512), OTHER)
            assert raised.value.failure.code is Code.UNAVAILABLE
            gallery._written._connection.execute("PRAGMA max_page_count = 100000")
            bert = await gallery.enroll("Bert", {}, embeddings(1, seed=1), ORIGIN)
            assert [near.person for near in await gallery.search(embeddings(1)[0], ORIGIN, 2)] == [anna, bert]

    asyncio.run(run())
