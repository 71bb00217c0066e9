"""Galleries and an export that version 0.1 wrote open, list, search and import as they did then."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegate.gateway.gallery import Origin
from support.galleries import EXPORTED, KEY, PEOPLE, WRITTEN, Postgres, gallery_command, opened, postgres, restored

Place = tuple[str, str | None]


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(params=["plain.db", "sealed.db", "postgres.sql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A copy of each, and its key."""
    if request.param == "postgres.sql":
        return restored(request.getfixturevalue("database")), None
    copy = shutil.copy(WRITTEN / request.param, tmp_path / request.param)
    return str(copy), KEY if request.param == "sealed.db" else None


def vector(photo: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(photo["vector"]), "<f4")


def nearest(query: dict[str, Any]) -> list[tuple[str, float]]:
    """Everybody of the query's recognizer by the distance of their nearest photo, from the export alone."""
    distances: dict[str, float] = {}
    for person in PEOPLE:
        for photo in person["photos"]:
            if photo["embedding_digest"] == query["embedding_digest"]:
                distance = 1 - float(vector(photo).astype(float) @ vector(query).astype(float))
                distances[person["id"]] = min(distances.get(person["id"], 2.0), distance)
    return sorted(distances.items(), key=lambda item: item[1])


async def check(place: Place) -> None:
    async with opened(*place) as gallery:
        assert await gallery.is_ready()
        people = await gallery.people("", 10)
        assert [
            (person.id, person.name, dict(person.labels), person.registered_at.isoformat(), person.photos)
            for person in people
        ] == [(each["id"], each["name"], each["labels"], each["registered_at"], len(each["photos"])) for each in PEOPLE]
        for person in PEOPLE:
            for photo in person["photos"]:
                origin = Origin(photo["pack"], photo["embedding_digest"])
                found = await gallery.search(vector(photo), origin, 5)
                assert found[0].person.id == person["id"]
                assert found[0].distance == pytest.approx(0, abs=1e-6)
                expected = nearest(photo)
                assert [near.person.id for near in found] == [person_id for person_id, _ in expected]
                assert [near.distance for near in found] == pytest.approx([each for _, each in expected], abs=1e-6)


def test_it_opens_lists_and_searches_as_before(place: Place) -> None:
    asyncio.run(check(place))
    asyncio.run(check(place))  # and once more, with what the first start may have changed


@pytest.mark.parametrize("kind", ["plain", "sealed", "postgres"])
def test_its_export_is_imported(kind: str, database: Postgres, tmp_path: Path) -> None:
    location = database.database() if kind == "postgres" else str(tmp_path / "people.db")
    key = KEY if kind == "sealed" else None
    done = gallery_command("import", EXPORTED, location, key=key)
    assert "5 people added, 0 were there already" in done.output
    asyncio.run(check((location, key)))
