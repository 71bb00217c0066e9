"""The metrics as Prometheus reads them, and the table as a person does."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from facegate.cameras.sighting import Ended, Sighting
from facegate.cameras.sinks.exporter import Exporter
from facegate.cameras.sinks.live_table import table
from facegate.cameras.sinks.output import OutputError
from facegate.cameras.stats import CameraSnapshot, CameraStats
from facegate_client import Face, __version__

FACE = Face((0.0, 0.0, 9.0, 9.0), 0.9, ((1.0, 2.0),) * 5)
SEEN = Sighting(track=1, face=FACE, quality=0.5)


@pytest.fixture
def cameras() -> list[CameraStats]:
    """ "door" has run, and "yard" was lost before its first frame."""
    door, yard = CameraStats("door"), CameraStats("yard [bold]")
    for _ in range(3):
        door.read()
    door.dropped()
    for latency_s in (0.02, 0.2):
        door.sent()
        door.answered(latency_s)
    door.sent()
    door.failed("Overloaded")
    fake = replace(FACE, is_real=False, antispoof_score=0.1)
    door.sightings([SEEN, replace(SEEN, track=2, is_real=True, antispoof_score=0.9, judgement=fake)])
    yard.lost()
    return [door, yard]


def snapshots(cameras: list[CameraStats]) -> list[CameraSnapshot]:
    return [camera.snapshot() for camera in cameras]


def samples(port: int) -> dict[tuple[str, ...], float]:
    """Each value by its name and the values of its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_metrics_are_the_snapshot_s(cameras: list[CameraStats]) -> None:
    exporter = Exporter(lambda: snapshots(cameras), 0)
    try:
        values = samples(exporter.port)
        for outcome, count in {"read": 3, "sent": 3, "dropped": 1, "answered": 2, "failed": 1}.items():
            assert values["facegate_camera_frames_total", "door", outcome] == count
        expected = {
            ("facegate_camera_failures_total", "door", "Overloaded"): 1,
            ("facegate_camera_faces_total", "door"): 2,
            ("facegate_camera_judgements_total", "door", "fake"): 1,
            ("facegate_camera_judgements_total", "door", "real"): 0,
            ("facegate_camera_tracks", "door", "real"): 1,
            ("facegate_camera_tracks", "door", "not_checked"): 1,
            ("facegate_camera_tracks", "door", "fake"): 0,
            ("facegate_camera_appearances_total", "door", "true"): 0,
            ("facegate_camera_outages_total", "door"): 0,
            ("facegate_camera_up", "door"): 1,
            ("facegate_build_info", __version__): 1,
            ("facegate_camera_up", cameras[1].camera): 0,
            ("facegate_camera_outages_total", cameras[1].camera): 1,
            ("facegate_camera_latency_seconds_count", "door"): 2,
            ("facegate_camera_latency_seconds_bucket", "door", "0.01"): 0,
            ("facegate_camera_latency_seconds_bucket", "door", "0.025"): 1,
            ("facegate_camera_latency_seconds_bucket", "door", "+Inf"): 2,
        }
        assert {key: values[key] for key in expected} == expected
        assert values["facegate_camera_latency_seconds_sum", "door"] == pytest.approx(0.22)
        cameras[0].read()
        assert samples(exporter.port)["facegate_camera_frames_total", "door", "read"] == 4
    finally:
        exporter.close()


def test_a_port_that_is_taken_is_named_and_free_again_after_close() -> None:
    first = Exporter(list, 0)
    with pytest.raises(OutputError, match=rf"cannot serve metrics at 127\.0\.0\.1:{first.port}: .*in use"):
        Exporter(list, first.port)
    first.close()
    first.close()
    second = Exporter(list, first.port)
    assert second.port == first.port
    second.close()


def test_a_port_that_cannot_be_is_one_line() -> None:
    with pytest.raises(OutputError, match="cannot serve metrics at") as raised:
        Exporter(list, 70_000)
    assert "\n" not in str(raised.value)


def drawn(cameras: list[CameraSnapshot], width: int = 100) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table(cameras))
    output = console.file
    assert isinstance(output, io.StringIO)
    return [line.split() for line in output.getvalue().splitlines()]


def test_a_row_a_camera_and_their_sum(cameras: list[CameraStats]) -> None:
    _, _, together, door, yard = drawn(snapshots(cameras))
    assert together[:4] == ["all", "2", "1", "up"]
    assert together[-7:] == ["3", "1", "1", "2", "1", "0", "1"]
    assert door[:2] == ["door", "running"]
    assert door[3:] == ["20", "200", "3", "1", "1", "2", "1", "0", "1"]
    assert yard == ["yard", "[bold]", "lost", "0.0", "0", "0", "0", "0", "-", "-", "0"]


def test_one_camera_has_no_sum(cameras: list[CameraStats]) -> None:
    assert [row[0] for row in drawn(snapshots(cameras[:1]))[2:]] == ["door"]


def test_a_narrow_terminal_shortens_names_and_no_number() -> None:
    camera = CameraStats("a camera whose name is long enough to fill a line of eighty columns by itself")
    for _ in range(123_456):
        camera.read()
    (row,) = drawn([camera.snapshot()], width=80)[2:]
    assert "123456" in row
    assert "running" in row


def test_nothing_is_called_real_or_fake_where_nothing_was_judged() -> None:
    camera = CameraStats("door")
    camera.sightings([SEEN])
    (row,) = drawn([camera.snapshot()])[2:]
    assert row[-4:] == ["1", "-", "-", "1"]


def test_the_totals_stay_when_all_is_over(cameras: list[CameraStats]) -> None:
    door = cameras[0]
    door.over(Ended(1, 0, 9, 0.0, 0.9, 10, 0.5, 3, False, 0.1, 3))
    door.over(Ended(2, 0, 9, 0.0, 0.9, 10, 0.5, 3, None, None, 0))
    door.ended()
    (row,) = drawn([door.snapshot()])[2:]
    assert row[1] == "ended"
    assert row[-7:] == ["3", "1", "1", "2", "0", "1", "1"]


DRAWING = """
import sys
from facegate.cameras.sinks.live_table import LiveTable
from facegate.cameras.stats import CameraStats
with LiveTable(lambda: [CameraStats(f"door {number}").snapshot() for number in range(64)]):
    print('{"v": 1}')
    sys.stderr.write("a line\\n")
"""


@pytest.mark.parametrize("terminal", [True, False])
def test_the_table_is_on_stderr_where_that_is_a_terminal_be_it_a_small_one(terminal: bool) -> None:
    size = {"FORCE_COLOR": "1", "COLUMNS": "80", "LINES": "10"} if terminal else {}
    done = subprocess.run(
        [sys.executable, "-c", DRAWING], capture_output=True, text=True, check=True, env={**os.environ, **size}
    )
    assert json.loads(done.stdout) == {"v": 1}
    assert "a line" in done.stderr
    assert ("all 64" in done.stderr) == terminal
