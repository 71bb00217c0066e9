"""The page says what was measured, against what, and what was not; its plots are the same for the same results."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from benchmarks import __main__ as command_line
from benchmarks.bench import page, results

MACHINE = {"cpu": "a processor", "cores": 2, "packages": {"numpy": "numpy 1.26.4", "cv2": None}}


def spread(median):
    return {"median": median, "low": median * 0.9, "high": median * 1.2, "runs": 3}


def case(kind, name, *, faces=1, height=480, **more):
    """A row as cases.py makes it."""
    size = more.get("callers") or more.get("cameras")
    figures = {name: spread(10.0 * size) for name in ("throughput", "p50_ms", "p99_ms", "server_cpu_ms")}
    stages = {stage: spread(3.0) for stage in ("decode", "detect", "total")}
    about = {"kind": kind, "case": name, "height": height, "width": height * 4 // 3, "faces": faces}
    return {**about, **figures, "stages_ms": stages, "errors": {}, **more}


RATIO = {"kind": "ratio", "of": "ours | theirs", "size": "3MP", "ratio": spread(12.0), "wanted": ">= 10", "met": True}
WAY = {"kind": "way", "task": "verify", "size": "3MP", "callers": 8, "per_second": spread(20.0), "p50_ms": spread(9.0)}
PARTS = {
    "pipeline": [
        *(case("closed", "verify", callers=callers) for callers in (1, 2, 4, 8)),
        {"kind": "ratio", "of": "p99 / p50", "case": "verify", "utilisation": 0.7, "ratio": spread(1.4)},
    ],
    "growth": [
        *(case("faces", f"{count} faces", callers=callers, faces=count) for count in (0, 1, 6) for callers in (1, 8)),
        *(case("pixels", "high", callers=callers, height=tall) for tall in (480, 1500, 3000) for callers in (1, 8)),
        *(case("callers", "one face", callers=callers) for callers in (1, 2, 4, 8)),
        *(case("cameras", "cameras", cameras=count, frames_per_second=10.0) for count in (1, 2, 4)),
    ],
    "peers": [{**WAY, "way": "FaceGate"}, {**WAY, "way": "plain way"}, RATIO],
}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Results of three of the parts."""
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    for part, rows in PARTS.items():
        told = {"part": part, "command": f"python -m benchmarks {part}", "machine": MACHINE, "rows": rows}
        (tmp_path / f"{part}.json").write_text(json.dumps(told))
    return tmp_path


def test_the_page_has_the_machine_the_ratios_and_what_is_not_measured(folder):
    text = page.page(page.read_parts(), {"peers": ["peers-throughput.svg"]})
    assert "Not measured: nets, roofline, independent." in text
    assert "- cpu: a processor" in text and "- packages: numpy 1.26.4\n" in text
    assert "| peers | ours \\| theirs, 3MP | 12 (10.8 to 14.4) | >= 10 | yes |" in text
    assert "| pipeline | p99 / p50, verify, utilisation 0.7 | 1.4 (1.26 to 1.68) | - | - |" in text
    assert "![peers throughput](peers-throughput.svg)" in text
    assert "python -m benchmarks growth" in text
    assert all(why in text for why in page.BENDS.values())


def test_parts_of_different_machines_are_told_apart(folder):
    told = json.loads((folder / "peers.json").read_text())
    (folder / "peers.json").write_text(json.dumps({**told, "machine": {**MACHINE, "cpu": "another"}}))
    assert "- cpu: a processor (pipeline), a processor (growth), another (peers)" in page.page(page.read_parts(), {})


def test_a_short_run_is_called_one(folder):
    told = json.loads((folder / "peers.json").read_text())
    (folder / "peers.json").write_text(json.dumps({**told, "quick": True}))
    assert page.page(page.read_parts(), {}).count("A short run: rough figures.") == 1


def test_every_line_of_a_table_has_as_many_cells(folder):
    for line in page.page(page.read_parts(), {}).split("\n\n"):
        if line.startswith("|"):
            assert len({row.replace("\\|", "").count("|") for row in line.splitlines()}) == 1


def test_nothing_measured_is_an_error_that_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    answer = CliRunner().invoke(command_line.app, ["page"])
    assert answer.exit_code == 1
    with pytest.raises(FileNotFoundError, match="python -m benchmarks all"):
        page.write()


def test_the_plots_are_small_and_the_same_for_the_same_results(folder):
    plots = pytest.importorskip("benchmarks.bench.plots", exc_type=ImportError)
    first = plots.draw(page.read_parts(), folder)
    names = [name for of in first.values() for name in of]
    assert names == ["peers-throughput.svg"]
    drawn = {name: (folder / name).read_bytes() for name in names}
    plots.draw(page.read_parts(), folder)
    assert drawn == {name: (folder / name).read_bytes() for name in names}
    assert max(len(data) for data in drawn.values()) < 30_000


def test_a_part_that_fails_does_not_stop_the_others_and_its_old_figures_are_gone(monkeypatch, folder):
    done = []

    def measure(part, quick):
        done.append((part, quick))
        if part == "peers":
            raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(command_line, "_measure", measure)
    answer = CliRunner().invoke(command_line.app, ["all", "--quick"])
    assert done == [(part, True) for part in command_line.PARTS]
    assert answer.exit_code == 1
    text = (folder / "README.md").read_text()
    assert "Failed when it was last measured: peers." in text and "ZeroDivisionError: by nothing" in text
    assert "| peers |" not in text and "peers-throughput.svg" not in text


def test_the_command_line_and_the_page_know_the_same_parts():
    assert list(command_line.PARTS) == list(page.PARTS)
