"""What counts as worse: a ratio that moved by more than its own noise, in the bad direction."""

from __future__ import annotations

import importlib
import json
from types import SimpleNamespace

import pytest

from benchmarks.bench import check, nets, peers, pipeline, results
from benchmarks.bench.cases import Case, Run, Runs
from benchmarks.bench.peer import Turn
from benchmarks.bench.pictures import Picture
from benchmarks.bench.spread import Spread
from facegate.errors import ServeError

STEADY = Spread(2.0, 1.95, 2.05, 5)


def moved(before, now, better="higher"):
    return check.Change("a ratio", better, before, now).moved


def test_less_than_a_tenth_is_the_same_however_steady_the_runs():
    assert moved(STEADY, Spread(1.81, 1.8, 1.82, 5)) == "same"


def test_beyond_a_tenth_and_the_noise_it_has_moved_and_the_direction_counts():
    lower = Spread(1.7, 1.65, 1.75, 5)
    assert moved(STEADY, lower) == "worse"
    assert moved(STEADY, lower, better="lower") == "better"
    assert moved(lower, STEADY) == "better"


@pytest.mark.parametrize("noisy_first", [True, False])
def test_what_either_run_spread_over_is_noise(noisy_first):
    noisy, other = Spread(2.0, 1.6, 2.1, 5), Spread(1.7, 1.69, 1.71, 5)
    assert (moved(noisy, other) if noisy_first else moved(other, noisy)) == "same"


def test_where_a_quarter_could_not_be_seen_it_is_too_noisy_to_tell():
    noisy = check.Change("a ratio", "higher", STEADY, Spread(2.0, 1.2, 2.1, 5))
    assert noisy.moved == "noisy" and str(noisy).startswith("too noisy to tell a ratio")


def test_a_ratio_that_is_not_measured_any_more_is_no_success():
    assert moved(STEADY, None) == "missing"
    assert moved(None, STEADY) == "new"


def runs(model, faces, kind, level, scale):
    """Of a case, each with 100 times `scale` requests a second and a p99 of `scale` times p50."""
    case = Case(model, Picture("640x480 JPEG", b"", 480, 640, faces, encoded=True))
    times = [10.0] * 270 + [10.0 * scale] * 30
    result = SimpleNamespace(throughput=100 * scale, times_ms=times, answered=300, errors={}, cpu_ms=0.1, late_ms=0.1)
    result.mean_ms = result.p50_ms = result.p90_ms = 10.0
    spent = SimpleNamespace(cpu_seconds=1.0, requests=300, queue_ms=0.1, compute_ms=1.0, stages_ms={}, server_peak_mb=1)
    return Runs(case, kind, level, [Run(result, spent)] * 3)


def rows(scale):
    """Rows of every part as it makes them itself, with all watched ratios at `scale`."""
    verify = runs("verify", 1, "closed", {"callers": 8}, scale)
    analyze = runs("analyze", 6, "closed", {"callers": 8}, scale)
    alone = runs("verify", 1, "closed", {"callers": 1}, scale)
    usual = pipeline._Open(runs("verify", 1, "constant", {"utilisation": 0.7}, scale))
    shares = {"share_of_roofline": pipeline._shares(verify.of, [(100.0, 90.0)] * 3)["share_of_roofline"]}
    turns = {key: [Turn(scale, scale)] * 3 for key in ((peers.OURS, 1), (peers.OURS, peers.MANY))}
    turns[peers.GOOD_PLAIN, 1] = [Turn(1.0, 1.0)] * 3
    original, served = {"net": [1.0] * nets.ROUNDS}, {"net": [scale] * nets.ROUNDS}
    of_nets = ("three nets of a face", "detector, by pixel")
    return {
        "pipeline": [
            alone.row(),
            verify.row(**shares),
            analyze.row(**shares),
            pipeline._summary(usual.runs.case, "constant", usual),
        ],
        "peers": [peers.ratio_row("640x480", each, turns) for each in peers.RATIOS if each.other in turns],
        "nets": [nets._ratio(name, original, served, ["net"]) for name in of_nets],
        "growth": [
            {
                "kind": "ratio",
                "of": "one more face in an image over its three nets alone",
                "ratio": {"median": scale, "low": scale, "high": scale, "runs": 3},
            }
        ],
    }


@pytest.fixture
def measuring(monkeypatch, tmp_path):
    """Parts that measure what `parts` says."""
    state = SimpleNamespace(parts=rows(2.0))
    real = importlib.import_module

    def pretended(name):
        part = name.removeprefix("benchmarks.bench.")
        return SimpleNamespace(measure=lambda quick, **more: state.parts[part]) if part in state.parts else real(name)

    monkeypatch.setattr(check.importlib, "import_module", pretended)
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(check, "machine", lambda: {"cpu": "one", "cores": 2})
    return state


def test_what_was_accepted_is_what_the_next_run_is_held_against(measuring, capsys):
    with pytest.raises(FileNotFoundError, match="--accept"):
        check.run(accept=False)
    assert check.run(accept=True) == 0
    assert check.run(accept=False) == 0
    assert capsys.readouterr().out.count("same ") == len(check.WATCHED)
    measuring.parts = rows(1.0)
    assert check.run(accept=False) == check.WORSE
    said = capsys.readouterr().out
    assert "worse   throughput over the good plain way's" in said
    assert "worse   verify, share of the roofline" in said
    assert "better  p50 of one caller over the good plain way's" in said


def test_nothing_is_kept_where_one_is_missing(measuring):
    measuring.parts["pipeline"] = measuring.parts["pipeline"][:-1]
    with pytest.raises(ServeError, match="p99 over p50"):
        check.run(accept=True)
    assert not (results.FOLDER / "ratios.json").exists()


def test_another_machines_ratios_are_compared_with_nothing(measuring, monkeypatch, capsys):
    check.run(accept=True)
    measuring.parts = {}
    monkeypatch.setattr(check, "machine", lambda: {"cpu": "another", "cores": 8})
    assert check.run(accept=False) == check.ANOTHER_MACHINE
    assert "another machine's, one with 2 cores" in capsys.readouterr().out


def test_only_ratios_are_kept(measuring):
    check.run(accept=True)
    kept = json.loads((results.FOLDER / "ratios.json").read_text())
    assert set(kept["ratios"]) == {watched.name for watched in check.WATCHED}
    assert not any("ms" in name.split() for name in kept["ratios"])
