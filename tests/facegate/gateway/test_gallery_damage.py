"""A damaged embedding is named and never a match: in a file, in PostgreSQL, in an export, and found while searching."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psycopg
import pytest

from facegate.errors import ServeError
from facegate.gateway.errors import Code, GatewayError
from facegate.gateway.gallery import Person
from facegate.gateway.gallery.open import open_gallery, open_source
from support.galleries import (
    EXPORTED,
    KEY,
    ORIGIN,
    OTHER,
    PEOPLE,
    WRITTEN,
    Postgres,
    embeddings,
    gallery_command,
    opened,
    postgres,
    restored,
)
from support.serving import ROOT


def flip(vector: bytes, bit: int) -> bytes:
    """With one bit of the first value changed: 0 is the lowest of the mantissa, 30 makes it huge."""
    (first,) = struct.unpack_from("<I", vector)
    return struct.pack("<I", first ^ 1 << bit) + vector[4:]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "huge": lambda vector: flip(vector, 30),
    "NaN": lambda vector: struct.pack("<f", float("nan")) + vector[4:],
    "zeros": lambda vector: bytes(len(vector)),
    "short": lambda vector: vector[:-4],
}
SLIGHT = {"lowest bit": lambda vector: flip(vector, 0)}


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.db"


async def enroll(location: str, key: str | None = None) -> list[Person]:
    """Three people with two photos each: photos 1 and 2, 3 and 4, 5 and 6."""
    async with opened(location, key) as gallery:
        return [await gallery.enroll(f"secret {n}", {}, embeddings(2, 128, n), ORIGIN) for n in range(3)]


def refusal(location: Path | str, key: str | None = None) -> str:
    with pytest.raises(ServeError) as raised:
        open_gallery(str(location), key)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def change(file: Path, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute(statement, values)
        other.commit()


def test_one_flipped_bit_in_the_bytes_of_the_file_is_found_at_the_start(file: Path) -> None:
    people = asyncio.run(enroll(str(file)))
    data, vector = file.read_bytes(), embeddings(2, 128, 1)[1].tobytes()
    for bit in (0, 12, 30):
        damaged = data.replace(vector, flip(vector, bit))
        assert damaged != data
        file.write_bytes(damaged)
        said = refusal(file)
        assert f"photo 4 of person {people[1].id} is damaged" in said
        assert "secret" not in said
    file.write_bytes(data)
    open_gallery(str(file), None)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "sealed"])
@pytest.mark.parametrize("damage", [*DAMAGES, *SLIGHT])
def test_a_damaged_row_is_named_and_ends_the_start(file: Path, damage: str, key: str | None) -> None:
    people = asyncio.run(enroll(str(file), key))
    with sqlite3.connect(file) as other:
        ((vector,),) = other.execute("SELECT vector FROM photo WHERE number = 5").fetchall()
    change(file, "UPDATE photo SET vector = ? WHERE number = 5", {**DAMAGES, **SLIGHT}[damage](vector))
    said = refusal(file, key)
    assert f"photo 5 of person {people[2].id} is damaged" in said
    assert "restore a backup" in said
    with (
        contextlib.closing(open_source(str(file), key)) as source,
        pytest.raises(ServeError, match="photo 5 of person"),
    ):
        source.records([person.id for person in people])


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "sealed"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_row_without_a_checksum_is_named_and_no_row_is_given_one(
    file: Path, damage: str, key: str | None
) -> None:
    shutil.copy(WRITTEN / ("sealed.db" if key else "plain.db"), file)
    with contextlib.closing(sqlite3.connect(file)) as other:
        number, vector = other.execute("SELECT max(number), vector FROM photo WHERE person IS NOT NULL").fetchone()
    change(file, "UPDATE photo SET vector = ? WHERE number = ?", DAMAGES[damage](vector), number)
    assert f"photo {number} of person {PEOPLE[-1]['id']} is damaged" in refusal(file, key)
    with contextlib.closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT count(*) FROM checksum").fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE photo SET person = 1 WHERE number = 4",
        "UPDATE photo SET person = 99 WHERE number = 4",
        "UPDATE photo SET recognizer = 99 WHERE number = 4",
        "UPDATE recognizer SET embedding_digest = 'other'",
        "UPDATE recognizer SET dim = 64",
        "UPDATE person SET id = 'other' WHERE number = 2",
        "UPDATE person SET id = NULL WHERE number = 2",
    ],
)
def test_a_photo_that_no_longer_belongs_to_its_person_is_named(file: Path, statement: str) -> None:
    asyncio.run(enroll(str(file)))
    change(file, statement)
    assert re.search(r"photo [134] of person \w+ is damaged", refusal(file))


def documented(store: str) -> str:
    """The statement of docs/gallery.md that deletes photo 17."""
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    (command,) = re.findall(rf'^ +{store} \S+ "(.*)"$', page, re.MULTILINE)
    assert "17" in command
    return str(command)


def test_the_documented_command_deletes_a_damaged_photo(file: Path, database: Postgres) -> None:
    for location, store in ((str(file), "sqlite3"), (database.database(), "psql")):
        people = asyncio.run(enroll(location))
        statement = documented(store).replace("17", "4")
        if store == "sqlite3":
            change(file, "UPDATE photo SET vector = zeroblob(512) WHERE number = 4")
            assert "photo 4" in refusal(location)
            with contextlib.closing(sqlite3.connect(file)) as other:
                other.executescript(statement)
        else:
            with psycopg.connect(location, autocommit=True) as connection:
                connection.execute("UPDATE facegate.checksum SET value = '' WHERE photo = 4")
                assert "photo 4" in refusal(location)
                connection.execute(statement.encode())

        async def run(location: str = location) -> list[int]:
            async with opened(location) as gallery:
                (near,) = await gallery.search(embeddings(2, 128, 1)[0], ORIGIN, 1)
                assert (near.person.name, near.distance < 1e-6) == ("secret 1", True)
                return [person.photos for person in await gallery.people("", 10)]

        assert len(people) == 3
        assert asyncio.run(run()) == [2, 1, 2]


@pytest.mark.parametrize("kind", ["plain.db", "sealed.db", "postgres.sql"])
def test_photos_of_0_1_are_given_checksums_once_and_that_is_logged(
    kind: str, tmp_path: Path, database: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    location = restored(database) if kind == "postgres.sql" else str(shutil.copy(WRITTEN / kind, tmp_path / kind))
    key = KEY if kind == "sealed.db" else None
    for expected in (1, 0):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            asyncio.run(open_gallery(location, key).close())
        assert len([each for each in caplog.messages if "15 photos without a checksum" in each]) == expected


def test_an_export_leaves_a_gallery_of_0_1_as_it_is(tmp_path: Path, database: Postgres) -> None:
    file = Path(shutil.copy(WRITTEN / "plain.db", tmp_path / "plain.db"))
    before, address = file.read_bytes(), restored(database)
    for location in (str(file), address):
        exported = tmp_path / "people.jsonl"
        done = gallery_command("export", exported, location)
        assert "5 people with 15 photos" in done.output, done.output
        lines = [json.loads(line) for line in exported.read_text(encoding="utf-8").splitlines()[1:-1]]
        assert all(len(photo.pop("checksum")) == 64 for line in lines for photo in line["photos"])
        assert lines == PEOPLE
    assert file.read_bytes() == before
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT to_regclass('facegate.checksum')").fetchone() == (None,)


def test_gateways_that_start_at_once_and_one_of_0_1_share_a_database(database: Postgres) -> None:
    address = restored(database)
    query = embeddings(1, 128, 7)[0]

    async def run() -> None:
        with ThreadPoolExecutor(6) as threads:
            galleries = list(threads.map(lambda _: open_gallery(address, None), range(6)))
        with psycopg.connect(address, autocommit=True) as old:  # the statements of version 0.1
            old.execute(
                "INSERT INTO facegate.person (id, name, labels, registered_at) VALUES ('x', 'New', '{}', now())"
            )
            old.execute(
                "INSERT INTO facegate.photo (person, embedding_digest, pack, created_at, embedding) "
                "VALUES ('x', %s, 'p', now(), %s::vector)",
                [ORIGIN.embedding_digest, str(query.tolist())],
            )
        for gallery in galleries:
            assert [near.person.name for near in await gallery.search(query, ORIGIN, 1)] == ["New"]
            await gallery.close()

    asyncio.run(run())
    asyncio.run(open_gallery(address, None).close())
    with psycopg.connect(address) as connection:
        without = "SELECT count(*) FROM facegate.photo WHERE number NOT IN (SELECT photo FROM facegate.checksum)"
        assert connection.execute(without).fetchone() == (0,)


POSTGRES_DAMAGES = {
    "another vector": f"embedding = '{embeddings(1, 128, 50)[0].tolist()}'",
    "huge": "embedding = (SELECT ('[1e18' || substr(embedding::text, position(',' in embedding::text)))::vector)",
    "zeros": "embedding = array_fill(0, ARRAY[128])::vector",
    "another person": "person = (SELECT min(id) FROM facegate.person)",
    "another recognizer": "embedding_digest = repeat('c', 64)",
}


@pytest.mark.parametrize("damage", POSTGRES_DAMAGES)
def test_a_damaged_row_of_postgresql_is_named_and_ends_the_start(
    damage: str, database: Postgres, tmp_path: Path
) -> None:
    address = database.database()
    asyncio.run(enroll(address))
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"UPDATE facegate.photo SET {POSTGRES_DAMAGES[damage]} WHERE number = 5".encode())
    assert re.search(r"photo 5 of person \w+ is damaged", said := refusal(address))
    assert "secret" not in said
    done = gallery_command("export", tmp_path / "people.jsonl", address)
    assert (done.exit_code, "photo 5 of person" in done.output) == (1, True)


@pytest.mark.parametrize("damage", ["another vector", "huge"])
def test_a_row_of_postgresql_that_is_damaged_later_is_never_a_match(damage: str, database: Postgres) -> None:
    address = database.database()
    people = asyncio.run(enroll(address))

    async def run() -> None:
        async with opened(address) as gallery:
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute(f"UPDATE facegate.photo SET {POSTGRES_DAMAGES[damage]} WHERE number = 5".encode())
                stored = connection.execute("SELECT embedding::text FROM facegate.photo WHERE number = 5").fetchone()
            query = np.array(json.loads(stored[0]), np.float64)
            query = (query / np.linalg.norm(query)).astype(np.float32)
            with pytest.raises(GatewayError, match=f"photo 5 of person {people[2].id} is damaged") as raised:
                await gallery.search(query, ORIGIN, 1)
            assert raised.value.failure.code is Code.INTERNAL

    asyncio.run(run())


def test_one_flipped_bit_in_an_export_is_found_with_its_line_and_nobody_is_added(file: Path, tmp_path: Path) -> None:
    exported, damaged = tmp_path / "people.jsonl", tmp_path / "damaged.jsonl"
    assert gallery_command("import", EXPORTED, file).exit_code == 0
    assert gallery_command("export", exported, file).exit_code == 0
    lines = exported.read_text(encoding="utf-8").splitlines(keepends=True)
    photo = json.loads(lines[3])["photos"][1]
    vector = base64.b64decode(photo["vector"])
    for changed in (
        lines[3].replace(photo["vector"], base64.b64encode(flip(vector, 0)).decode()),
        lines[3].replace(photo["checksum"], "0" * 64),
        lines[3].replace(json.loads(lines[3])["id"], "another"),
        lines[3].replace(ORIGIN.embedding_digest, OTHER.embedding_digest),
    ):
        assert changed != lines[3]
        damaged.write_text("".join([*lines[:3], changed, *lines[4:]]), encoding="utf-8")
        refused = gallery_command("import", damaged, tmp_path / "other.db")
        (line,) = refused.output.strip().splitlines()
        assert (refused.exit_code, "line 4" in line, "damaged" in line) == (1, True, True), line
        assert photo["vector"][:16] not in line
    done = gallery_command("import", exported, tmp_path / "other.db")
    assert "5 people added" in done.output
