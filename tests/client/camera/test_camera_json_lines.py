"""Records to a file, a pipe, a full disk."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate_client.camera.json_lines import JsonLines
from facegate_client.camera.output import OutputError, PipeClosed
from facegate_client.camera.records import CameraRecord, FaceRecord

ENDED = CameraRecord(
    camera="Tür", wall_s=1e9, event="ended", reason=None, read=3, sent=2, dropped=1, answered=2, failed=0
)
FACE = FaceRecord(
    camera="door",
    wall_s=1e9,
    frame=0,
    media_s=0.0,
    width=640,
    height=480,
    track=1,
    box=(1.0, 2.0, 3.0, 4.0),
    landmarks=((1.0, 2.0),) * 5,
    score=0.9,
    quality=0.5,
    is_real=None,
    antispoof_score=None,
    judgements=0,
    frame_is_real=None,
    frame_antispoof_score=None,
    who=None,
    distance=None,
)

WRITING = """
import sys
from facegate_client.camera.json_lines import JsonLines
from facegate_client.camera.output import OutputError
from facegate_client.camera.records import CameraRecord
lines = JsonLines("-")
try:
    for read in range(int(sys.argv[1])):
        lines.write(CameraRecord(camera="c", wall_s=0, event="ended", reason=None, read=read, sent=0, dropped=0,
                                 answered=0, failed=0))
    lines.close()
except OutputError as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    lines.close()
"""


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path: Path) -> None:
    place = tmp_path / "out.jsonl"
    place.write_text("of an earlier run\n")
    lines = JsonLines(place)
    lines.write(ENDED)
    (line,) = place.read_text().splitlines()
    assert json.loads(line) == ENDED.as_dict()
    assert json.loads(line)["camera"] == "Tür"
    assert line.isascii()
    lines.write(FACE)
    lines.close()
    lines.close()
    assert [json.loads(each)["type"] for each in place.read_text().splitlines()] == ["camera", "face"]
    with pytest.raises(ValueError, match="is closed"):
        lines.write(ENDED)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_has_not_is_never_written(tmp_path: Path, value: float) -> None:
    lines = JsonLines(tmp_path / "out.jsonl")
    with pytest.raises(ValueError, match="Out of range"):
        lines.write(replace(FACE, distance=value))
    assert (tmp_path / "out.jsonl").read_bytes() == b""


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_never_breaks_a_line(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    place = tmp_path_factory.getbasetemp() / "names.jsonl"
    lines = JsonLines(place)
    lines.write(replace(FACE, who=name))
    lines.close()
    (line,) = place.read_text().splitlines()
    assert json.loads(line)["who"] == name


def test_a_place_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "no" / "such.jsonl"):
        with pytest.raises(OutputError, match="cannot open") as raised:
            JsonLines(place)
        assert str(place) in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_clear_line() -> None:
    lines = JsonLines("/dev/full")
    with pytest.raises(OutputError, match="cannot write to /dev/full: No space left on device") as raised:
        lines.write(ENDED)
    assert not isinstance(raised.value, PipeClosed)
    lines.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_stdout_is_said_once() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", WRITING, "5"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.stderr == "OutputError: cannot write to stdout: No space left on device\n"
    assert done.returncode == 0


def test_a_reader_that_goes_is_told_from_other_failures_and_leaves_no_noise() -> None:
    writing = subprocess.Popen(
        [sys.executable, "-c", WRITING, "1000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert writing.stdout is not None and writing.stderr is not None
    assert json.loads(writing.stdout.readline())["read"] == 0
    writing.stdout.close()
    assert writing.stderr.read() == f"PipeClosed: who read stdout has gone{os.linesep}".encode()
    assert writing.wait(30) == 0
    writing.stderr.close()


def test_stdout_stays_open() -> None:
    code = WRITING + "\nprint('more')"
    done = subprocess.run([sys.executable, "-c", code, "2"], capture_output=True, text=True, check=True)
    *lines, more = done.stdout.splitlines()
    assert [json.loads(line)["read"] for line in lines] == [0, 1]
    assert more == "more"
