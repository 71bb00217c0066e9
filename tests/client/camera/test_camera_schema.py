"""docs/camera.md tells of each field of each line, and of no other."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from facegate_client.camera.records import VERSION, AppearanceRecord, CameraRecord, FaceRecord, Record, TrackRecord

PAGE = Path(__file__).parents[3] / "docs" / "camera.md"
RECORDS: tuple[type[Record], ...] = (FaceRecord, TrackRecord, AppearanceRecord, CameraRecord)
OF_ALL = ["v", "type", "time", "camera"]

_LIKELY: dict[str, Any] = {"integer": 7, "number": 0.5, "string": "x", "boolean": True}


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
    return {bool: "boolean", int: "integer", float: "number", str: "string"}[type(value)]


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


def test_types_named_are_those_declared() -> None:
    declared = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
    for record in RECORDS:
        told = tables()[record.type]
        for field in fields(record):
            word = str(field.type).removesuffix(" | None")
            if field.name in told and word in declared:
                assert told[field.name].removesuffix(" or null") == declared[word], (record, field.name)


def test_the_version_and_the_types_of_lines_are_told() -> None:
    text = PAGE.read_text()
    assert list(tables()[""]) == OF_ALL
    assert f"version of these tables: {VERSION}." in text
    assert set(tables()) == {"", *(record.type for record in RECORDS)}


def test_time_is_utc_to_the_millisecond() -> None:
    line = CameraRecord(
        camera="c", wall_s=1e9 + 0.0004, event="ended", reason=None, read=0, sent=0, dropped=0, answered=0, failed=0
    )
    assert line.as_dict()["time"] == "2001-09-09T01:46:40.000Z"
