"""Records to a file, a pipe, a full disk, and to somebody who does not read."""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegate.cameras.records import Record
from facegate.cameras.sinks import json_lines
from facegate.cameras.sinks.json_lines import JsonLines
from facegate.cameras.sinks.output import OutputError, PipeClosed
from support.made_records import ENDED, FACE

WRITING = """
import asyncio, sys
from facegate.cameras.sinks.json_lines import JsonLines
from facegate.cameras.sinks.output import OutputError
from facegate.cameras.records import CameraRecord

async def main():
    lines = JsonLines("-")
    try:
        for read in range(int(sys.argv[1])):
            await lines.write(CameraRecord(camera="c", wall_s=0, event="ended", reason=None, asked=None, read=read,
                                           sent=0, dropped=0, answered=0, failed=0))
        if "hurry" in sys.argv:
            lines.hurry()
        await lines.close()
    except OutputError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        await lines.close()

asyncio.run(main())
"""


def write(place: Path | str, *records: Record) -> None:
    """All of them, to a file that is opened and closed for them."""

    async def main() -> None:
        lines = JsonLines(place)
        try:
            for record in records:
                await lines.write(record)
        finally:
            await lines.close()

    asyncio.run(main())


def test_lines_are_written_in_order_and_added_to_those_of_an_earlier_run(tmp_path: Path) -> None:
    place = tmp_path / "out.jsonl"
    write(place, ENDED)
    write(place, *(replace(FACE, frame=frame) for frame in range(500)))
    first, *others = place.read_text().splitlines()
    assert json.loads(first) == ENDED.as_dict()
    assert json.loads(first)["camera"] == "Tür"
    assert first.isascii()
    assert [json.loads(each)["frame"] for each in others] == list(range(500))


def test_a_line_is_there_before_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        lines = JsonLines(tmp_path / "out.jsonl")
        await lines.write(ENDED)
        while not (tmp_path / "out.jsonl").read_text().endswith("\n"):
            await asyncio.sleep(0.001)
        await lines.close()
        await lines.close()
        with pytest.raises(ValueError, match="is closed"):
            await lines.write(ENDED)

    asyncio.run(asyncio.wait_for(main(), 10))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_has_not_is_never_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write(tmp_path / "out.jsonl", replace(FACE, distance=value))
    assert (tmp_path / "out.jsonl").read_bytes() == b""


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_a_name_never_breaks_a_line(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    place = tmp_path_factory.getbasetemp() / "names.jsonl"
    place.unlink(missing_ok=True)
    write(place, *(replace(FACE, who=name) for name in names))
    assert [json.loads(line)["who"] for line in place.read_text().splitlines()] == names


def test_a_place_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "no" / "such.jsonl"):
        with pytest.raises(OutputError, match="cannot open") as raised:
            JsonLines(place)
        assert str(place) in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_clear_line_of_the_next_write_and_not_of_close() -> None:
    async def main() -> None:
        lines = JsonLines("/dev/full")

        async def go_on() -> None:
            while True:
                await lines.write(ENDED)
                await asyncio.sleep(0)

        with pytest.raises(OutputError, match="cannot write to /dev/full: No space left on device") as raised:
            await go_on()
        assert not isinstance(raised.value, PipeClosed)
        await lines.close()

    asyncio.run(asyncio.wait_for(main(), 10))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_that_no_write_has_told_of_is_told_by_close() -> None:
    with pytest.raises(OutputError, match="cannot write to /dev/full: No space left on device"):
        write("/dev/full", ENDED)


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


@pytest.fixture
def unread(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A pipe that nobody reads, as a path, and the end to read it by after all."""
    place = tmp_path / "pipe"
    os.mkfifo(place)
    end = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    yield place, end
    os.close(end)


def read_all(end: int) -> list[dict[str, object]]:
    """What is in the pipe, its writer gone."""
    os.set_blocking(end, True)
    with os.fdopen(os.dup(end)) as file:
        return [json.loads(line) for line in file]


def test_who_does_not_read_holds_up_the_writers_and_nobody_else(
    unread: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writers wait and the loop goes on; when it is read, each line is there, each writer's in order."""
    monkeypatch.setattr(json_lines, "MOST", 50)
    place, end = unread

    async def main() -> list[dict[str, object]]:
        lines = JsonLines(place)

        async def writer(camera: str) -> None:
            for frame in range(1_000):
                await lines.write(replace(FACE, camera=camera, frame=frame))

        writers = [asyncio.create_task(writer(camera)) for camera in "ab"]
        done, _ = await asyncio.wait(writers, timeout=0.5)
        assert not done  # and this line was reached
        reading = asyncio.create_task(asyncio.to_thread(read_all, end))
        await asyncio.gather(*writers)
        await lines.close()
        return await reading

    found = asyncio.run(asyncio.wait_for(main(), 20))
    for camera in "ab":
        assert [each["frame"] for each in found if each["camera"] == camera] == list(range(1_000))


def test_in_a_hurry_a_reader_that_takes_nothing_is_given_up_and_what_is_lost_is_counted(
    unread: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "MOST", 50)
    monkeypatch.setattr(json_lines, "PATIENCE_S", 0.2)
    place, end = unread

    async def main() -> str:
        lines = JsonLines(place)

        async def writer() -> None:
            for frame in range(1_000):
                await lines.write(replace(FACE, frame=frame))

        writers = [asyncio.create_task(writer()) for _ in range(2)]
        await asyncio.sleep(0.3)
        assert not any(writer.done() for writer in writers)
        lines.hurry()
        await asyncio.gather(*writers)
        with pytest.raises(OutputError, match=r"pipe is not read; \d+ lines are lost") as raised:
            await lines.close()
        await lines.close()
        return str(raised.value)

    said = asyncio.run(asyncio.wait_for(main(), 20))
    os.set_blocking(end, False)
    whole = os.read(end, 1 << 20).count(b"\n")
    assert f" {2_000 - whole} lines" in said


def test_a_slow_reader_loses_nothing_in_a_hurry(unread: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "PATIENCE_S", 0.2)
    place, end = unread

    async def main() -> bytes:
        lines = JsonLines(place)
        for frame in range(800):
            await lines.write(replace(FACE, frame=frame))
        lines.hurry()
        closing = asyncio.create_task(lines.close())
        taken = b""
        while not closing.done():
            await asyncio.sleep(0.05)
            taken += os.read(end, 16_384)
        await closing
        return taken + b"".join(iter(lambda: os.read(end, 65_536), b""))

    assert asyncio.run(asyncio.wait_for(main(), 20)).count(b"\n") == 800


def test_a_program_whose_stdout_is_not_read_ends() -> None:
    writing = subprocess.Popen(
        [sys.executable, "-c", WRITING, "5000", "hurry"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert writing.stderr is not None and writing.stdout is not None
    said = writing.stderr.read()
    assert writing.wait(30) == 0
    whole = writing.stdout.read().count("\n")
    assert said == f"OutputError: stdout is not read; {5000 - whole} lines are lost\n"
    writing.stdout.close()
    writing.stderr.close()
