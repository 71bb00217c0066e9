"""docs/camera.md tells of each field of each line, and of no other."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from facegate.cameras.records import (
    VERSION,
    AppearanceRecord,
    AskedOf,
    CameraRecord,
    FaceRecord,
    FrameRecord,
    Record,
    TrackRecord,
)
from support.made_records import ENDED, FACE

PAGE = Path(__file__).parents[3] / "docs" / "camera.md"
RECORDS: tuple[type[Record], ...] = (FaceRecord, FrameRecord, TrackRecord, AppearanceRecord, CameraRecord)
OF_ALL = ["v", "type", "time", "camera"]

_LIKELY: dict[str, Any] = {"integer": 7, "number": 0.5, "string": "x", "boolean": True, "object": {}}


def tables() -> dict[str, dict[str, str]]:
    """Each table's fields and their types, by the word in backticks that introduces it; "" is that of every line."""
    section = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    (text,) = (part for part in section if part.startswith("Result lines\n"))
    found: dict[str, dict[str, str]] = {}
    for before, table in re.findall(r"((?:^[^|\n].*\n)+)\n((?:^\|.*\n)+)", text, flags=re.MULTILINE):
        name = re.match(r"`(\w+)`: ", before)
        rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]
        found[name.group(1) if name else ""] = {
            field: kind for names, kind, _ in rows for field in re.findall(r"`(\w+)`", names)
        }
    return found


def likely(kind: str) -> Any:
    """A value of the type that the page names."""
    kind = kind.removesuffix(" or null")
    if kind == "array of 4 numbers":
        return (1.0, 2.0, 3.0, 4.0)
    if kind == "array of 5 arrays of 2 numbers":
        return ((1.0, 2.0),) * 5
    return _LIKELY[kind]


def as_named(value: Any) -> str:
    if isinstance(value, list):
        inner = {as_named(each) for each in value}
        assert len(inner) == 1
        each = inner.pop()
        return f"array of {len(value)} {each.replace('array', 'arrays') if each.startswith('array') else each + 's'}"
    return {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object"}[type(value)]


@pytest.mark.parametrize("record", RECORDS)
def test_the_page_has_each_field_in_its_place_and_with_its_type(record: type[Record]) -> None:
    told = tables()[record.type]
    own = [field.name for field in fields(record) if field.name not in ("camera", "wall_s")]
    assert list(told) == own
    hints = get_type_hints(record)
    assert {name for name in own if type(None) in getattr(hints[name], "__args__", ())} == {
        name for name, kind in told.items() if kind.endswith(" or null")
    }
    line = record(camera="door", wall_s=1e9, **{name: likely(kind) for name, kind in told.items()}).as_dict()
    assert list(line) == [*OF_ALL, *own]
    for name, value in json.loads(json.dumps(line)).items():
        assert as_named(value) == {**tables()[""], **told}[name].removesuffix(" or null"), name


DECLARED = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}


def test_types_named_are_those_declared() -> None:
    for record in RECORDS:
        told = tables()[record.type]
        for field in fields(record):
            word = str(field.type).removesuffix(" | None")
            if field.name in told and word in DECLARED:
                assert told[field.name].removesuffix(" or null") == DECLARED[word], (record, field.name)


def test_the_version_and_the_types_of_lines_are_told() -> None:
    text = PAGE.read_text()
    assert list(tables()[""]) == OF_ALL
    assert f"version of these tables: {VERSION}." in text
    assert set(tables()) == {"", "asked", *(record.type for record in RECORDS)}


def test_what_was_asked_is_told_with_its_types() -> None:
    declared = {name: str(hint) for name, hint in AskedOf.__annotations__.items()}
    told = tables()["asked"]
    assert list(told) == list(declared)
    for name, kind in told.items():
        word = re.sub(r"^ForwardRef\('(.*?)'.*\)$", r"\1", declared[name])
        assert kind == DECLARED[word.removesuffix(" | None")] + (" or null" if word.endswith("None") else ""), name


def test_time_is_utc_to_the_millisecond() -> None:
    assert replace(ENDED, wall_s=1e9 + 0.0004).as_dict()["time"] == "2001-09-09T01:46:40.000Z"


def test_numbers_are_rounded_as_the_page_says() -> None:
    third = 1 / 3
    line = replace(
        FACE,
        box=(third,) * 4,
        landmarks=((third, -third),) * 5,
        media_s=third,
        score=third,
        quality=third,
        is_real=False,
        antispoof_score=third,
        distance=2 * third,
    ).as_dict()
    assert (line["box"], line["landmarks"]) == ([0.33] * 4, [[0.33, -0.33]] * 5)
    assert (line["media_s"], line["distance"]) == (0.333, 0.6667)
    assert line["score"] == line["quality"] == line["antispoof_score"] == 0.3333
    assert line["is_real"] is False and line["judgements"] == 0
    assert "0.01 of a pixel, 0.001 s and 0.0001 of all else" in " ".join(PAGE.read_text().split())
