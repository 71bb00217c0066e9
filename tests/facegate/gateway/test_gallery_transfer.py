"""Export and import: everybody comes over as they were, and a file that is no good changes nothing."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facegate.errors import ServeError
from facegate.gateway.gallery import Person
from facegate.gateway.gallery.importing import import_people
from facegate.gateway.gallery.open import open_destination
from support.galleries import KEY, ORIGIN, OTHER, Postgres, embeddings, gallery_command, opened, postgres

CUT = "this line is left out"
NOW = "2026-05-06T07:08:09.000010+00:00"


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    return tmp_path / "people.jsonl"


def photo(**changes: Any) -> dict[str, Any]:
    vector = base64.b64encode(embeddings(1, 8).tobytes()).decode()
    return {"pack": "p", "embedding_digest": "d", "created_at": NOW, "vector": vector, **changes}


def person(**changes: Any) -> dict[str, Any]:
    return {"id": "a", "name": "Anna", "labels": {}, "registered_at": NOW, "photos": [photo()], **changes}


def write(path: Path, *people: Any, head: Any = None, tail: Any = None) -> Path:
    """A file with these lines."""
    photos = sum(len(each.get("photos") or []) for each in people if isinstance(each, dict))
    lines = [head or {"format": "facegate-gallery", "version": 1}, *people]
    lines.append(tail or {"people": len(people), "photos": photos})
    lines = [line for line in lines if line is not CUT]
    path.write_text("".join(each if isinstance(each, str) else json.dumps(each) + "\n" for each in lines))
    return path


async def fill(location: str, key: str | None = None) -> list[Person]:
    async with opened(location, key) as gallery:
        for n in range(450):  # more than are read at a time
            await gallery.enroll(f"Ünique {n}", {"n": str(n), "z": "", "a": "🙂"}, embeddings(1, 128, n), ORIGIN)
        both = await gallery.enroll("Both", {}, embeddings(2, 128, 999), ORIGIN)
        await gallery.add_photos(both.id, embeddings(1, 512, 999), OTHER)
        return list(await gallery.people("", 1000))


async def everybody(location: str, key: str | None = None) -> list[Person]:
    async with opened(location, key) as gallery:
        near = await gallery.search(embeddings(1, 512, 999)[0], OTHER, 1)
        assert [(each.person.name, each.distance < 1e-6) for each in near] == [("Both", True)]
        near = await gallery.search(embeddings(1, 128, 449)[0], ORIGIN, 1)
        assert near[0].person.name == "Ünique 449"
        return list(await gallery.people("", 1000))


def test_people_come_over_from_store_to_store_as_they_were(database: Postgres, tmp_path: Path) -> None:
    """From an open file to a sealed one, to PostgreSQL, and back to a file."""
    stores: list[tuple[str, str | None]] = [
        (str(tmp_path / "plain.db"), None),
        (str(tmp_path / "sealed.db"), KEY),
        (database.database(), None),
        (str(tmp_path / "back.db"), None),
    ]
    people = asyncio.run(fill(*stores[0]))
    texts = []
    for number, (here, there) in enumerate(pairwise(stores)):
        file = tmp_path / f"{number}.jsonl"
        done = gallery_command("export", file, here[0], key=here[1])
        assert (done.exit_code, "451 people with 453 photos, NOT encrypted" in done.output) == (0, True), done.output
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        done = gallery_command("import", file, there[0], key=there[1])
        assert (done.exit_code, "451 people added, 0 were there already" in done.output) == (0, True), done.output
        assert asyncio.run(everybody(*there)) == people
        texts.append(sorted(file.read_text(encoding="utf-8").splitlines()))
    assert texts[0] == texts[1] == texts[2]
    again = gallery_command("import", file, stores[0][0])
    assert "0 people added, 451 were there already" in again.output


def test_a_gallery_is_exported_while_it_is_served_and_imported_into_only_when_not(
    tmp_path: Path, exported: Path
) -> None:
    location = str(tmp_path / "people.db")

    async def run() -> None:
        async with opened(location) as gallery:
            await gallery.enroll("Anna", {}, embeddings(1), ORIGIN)
            done = await asyncio.to_thread(gallery_command, "export", exported, location)
            assert "1 people with 1 photos" in done.output
            refused = await asyncio.to_thread(gallery_command, "import", exported, location)
            assert refused.exit_code == 1
            assert "another process has this gallery" in refused.output
            await gallery.forget((await gallery.people("", 1))[0].id)  # the export does not hold the file

    asyncio.run(run())
    assert "Anna" in exported.read_text()


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path, exported: Path) -> None:
    yesterday = write(exported, person()).read_text()
    asyncio.run(fill(str(tmp_path / "people.db"), KEY))
    with closing(sqlite3.connect(tmp_path / "people.db")) as other:
        other.execute("UPDATE photo SET vector = zeroblob(540) WHERE number = 400")
        other.commit()
    failed = gallery_command("export", exported, tmp_path / "people.db", key=KEY)
    assert failed.exit_code == 1
    (line,) = failed.output.strip().splitlines()
    assert "photo 400 of person" in line and "damaged" in line
    assert exported.read_text() == yesterday
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    gallery = tmp_path / "people.db"
    assert gallery_command("import", write(tmp_path / "people.jsonl", person()), gallery).exit_code == 0
    failed = gallery_command("export", tmp_path / "nix" / "da", gallery)
    assert failed.exit_code == 1
    assert failed.output.splitlines() == [
        f"facegate: {tmp_path / 'nix'}: nothing can be written into this folder: No such file or directory"
    ]


def test_an_export_replaces_an_earlier_one_and_nothing_else(tmp_path: Path, exported: Path) -> None:
    gallery = tmp_path / "people.db"
    assert gallery_command("import", write(exported, person()), gallery).exit_code == 0
    (tmp_path / "symlink").symlink_to(gallery)
    (tmp_path / "hardlink").hardlink_to(gallery)
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "empty").touch()
    for there in (gallery, tmp_path / "symlink", tmp_path / "hardlink", tmp_path / "notes", tmp_path / "empty"):
        before = there.read_bytes()
        refused = gallery_command("export", there, gallery)
        (line,) = refused.output.strip().splitlines()
        assert (refused.exit_code, "not an earlier export: choose another name" in line) == (1, True)
        assert there.read_bytes() == before
    for device in ("/dev/null", tmp_path):
        assert "not an earlier export" in gallery_command("export", device, gallery).output
    earlier = tmp_path / "link to an export"
    earlier.symlink_to(write(exported, person(), person(id="b")))
    assert gallery_command("export", earlier, gallery).exit_code == 0
    assert earlier.is_symlink()
    assert exported.read_text().count('"id"') == 1


def test_what_a_killed_export_left_is_removed_by_the_next_and_another_export_is_let_be(
    tmp_path: Path, exported: Path
) -> None:
    left, used = (tmp_path / f".{exported.name}.{number}.part" for number in (1, 2))
    left.write_text("embeddings")
    with used.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with closing(open_destination(str(tmp_path / "people.db"), None)):
            assert gallery_command("export", exported, tmp_path / "people.db").exit_code == 0
    assert (left.exists(), used.exists()) == (False, True)


def test_an_embedding_of_almost_length_one_is_imported_as_of_length_one_and_once(
    tmp_path: Path, exported: Path
) -> None:
    long = base64.b64encode(VECTOR * np.float32(1.005)).decode()
    gallery = tmp_path / "people.db"
    write(exported, person(photos=[photo(vector=long)]))
    assert "1 people added" in gallery_command("import", exported, gallery).output
    assert "1 were there already" in gallery_command("import", exported, gallery).output
    with closing(open_destination(str(gallery), None)) as store:
        (kept,) = store.records(["a"])["a"].photos
    assert np.linalg.norm(kept.vector.astype(np.float64)) == pytest.approx(1, abs=1e-6)


def test_who_is_there_and_differs_is_refused_and_nothing_is_added(tmp_path: Path, exported: Path) -> None:
    gallery = tmp_path / "people.db"
    first = person(id="b")
    assert gallery_command("import", write(exported, first), gallery).exit_code == 0
    for other in (
        person(id="b", name="Bert"),
        person(id="b", labels={"a": "b"}),
        person(id="b", photos=[]),
        person(id="b", photos=[photo(embedding_digest="e")]),
    ):
        refused = gallery_command("import", write(exported, person(id="a"), other), gallery)
        assert (refused.exit_code, "person b is in the gallery already" in refused.output) == (1, True), refused.output
    done = gallery_command("import", write(exported, person(id="a"), first), gallery)
    assert "1 people added, 1 were there already" in done.output


VECTOR = embeddings(1, 8)
WRONG: dict[str, Callable[[Path], Path]] = {
    "line 1: format": lambda path: write(path, head={"format": "other", "version": 1}),
    "line 1: version": lambda path: write(path, head={"format": "facegate-gallery", "version": 3}),
    "cut off after line 2": lambda path: write(path, person(), tail=CUT),
    "line 1: Invalid JSON": lambda path: write(path, head=CUT, tail=CUT),
    "line 3: Invalid JSON": lambda path: write(path, person(), tail="{nothing"),
    "line 3: this should be the end, of 1 people and 1 photos": lambda path: write(
        path, person(), tail={"people": 2, "photos": 1}
    ),
    "line 3: this should be the end": lambda path: write(path, person(), '{"people": 1, "photos": 1}\n'),
    "person a is in it twice": lambda path: write(path, person(), person()),
    "line 2: id": lambda path: write(path, person(id="../a")),
    "line 2: name": lambda path: write(path, person(name="x" * 201)),
    "line 2: name: Value error, control characters": lambda path: write(path, person(name="a\0")),
    "line 2: labels": lambda path: write(path, person(labels={f"{n}": "" for n in range(33)})),
    "line 2: registered_at": lambda path: write(path, person(registered_at="2026-05-06T07:08:09")),
    "line 2: registered_at: Value error, no such moment": lambda path: write(
        path, person(registered_at="0001-01-01T00:00:00+14:00")
    ),
    "line 2: surname": lambda path: write(path, person(surname="A")),
    "line 2: photos.0.vector: Value error, not base64": lambda path: write(path, person(photos=[photo(vector="?")])),
    "line 2: photos.1.vector": lambda path: write(
        path, person(photos=[photo(), photo(vector=base64.b64encode(VECTOR * np.float32(1.1)).decode())])
    ),
    "line 2: photos.0.vector:": lambda path: write(
        path, person(photos=[photo(vector=base64.b64encode(VECTOR * np.float32("nan")).decode())])
    ),
    "person a has an embedding that is not as long as others": lambda path: write(
        path, person(photos=[photo(), photo(vector=base64.b64encode(embeddings(1, 9)).decode())])
    ),
}


@pytest.mark.parametrize("said", WRONG)
def test_a_file_that_is_no_good_is_refused_with_the_line_and_adds_nobody(
    said: str, tmp_path: Path, exported: Path
) -> None:
    refused = gallery_command("import", WRONG[said](exported), tmp_path / "people.db")
    assert refused.exit_code == 1
    (line,) = refused.output.strip().splitlines()
    assert said in line
    assert base64.b64encode(VECTOR).decode()[:16] not in line
    with closing(sqlite3.connect(tmp_path / "people.db")) as other:
        assert other.execute("SELECT count(*) FROM person").fetchone() == (0,)


sound = [json.dumps(line) + "\n" for line in ({"format": "facegate-gallery", "version": 1}, person())]
wild = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*person(), *photo(), "x"]), inner),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    line=st.binary(max_size=40)
    | st.builds(json.dumps, wild).map(str.encode)
    | st.dictionaries(st.sampled_from([*person()]), wild, min_size=1).map(lambda c: json.dumps(person(**c)).encode())
)
def test_no_line_is_so_wild_that_it_is_more_than_refused(line: bytes, tmp_path: Path, exported: Path) -> None:
    exported.write_bytes("".join(sound).encode() + line + b"\n")
    with closing(open_destination(str(tmp_path / "people.db"), None)) as destination:
        with pytest.raises(ServeError):
            import_people(destination, exported)
        assert destination.people("", 10) == []
