"""How NVIDIA's perf_analyzer is asked and read, and how our own load generator is held against it."""

from __future__ import annotations

import base64
import json
import sys

import numpy as np
import pytest
from tritonclient.utils import serialize_byte_tensor

from benchmarks.bench import perf_analyzer
from benchmarks.bench.independent import agree, compared
from benchmarks.bench.perf_analyzer import PerfAnalyzer, PerfAnalyzerError, Report
from benchmarks.bench.spread import Spread

NAMES = (
    "Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,Server Compute Infer,"
    "Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency"
)
CSV = f"Concurrency,{NAMES}\n4,85.2165,13,45651,226,120,630,11,7,45498,56815,59437,66857\n\n"

PROGRAM = f"""#!{sys.executable}
import json, pathlib, sys
asked = dict(zip(sys.argv[1:], sys.argv[2:]))
intervals = asked.get("--request-intervals")
pathlib.Path(__file__).with_suffix(".told").write_text(json.dumps({{
    "arguments": sys.argv[1:],
    "inputs": pathlib.Path(asked["--input-data"]).read_text(),
    "intervals": intervals and pathlib.Path(intervals).read_text(),
}}))
pathlib.Path(asked["-f"]).write_text({CSV!r})
"""


@pytest.fixture
def analyzer(tmp_path):
    """A program that writes down what it is asked, and reports CSV."""
    return PerfAnalyzer(_program(tmp_path, PROGRAM), tmp_path)


def _program(folder, text):
    program = folder / "perf_analyzer"
    program.write_text(text)
    program.chmod(0o755)
    return program


def _told(analyzer):
    return json.loads(analyzer.program.with_suffix(".told").read_text())


def test_inputs_are_as_on_the_wire():
    (step,) = json.loads(perf_analyzer.input_data({"IMAGE_1": b"one", "IMAGE_2": b"another"}))["data"]
    for name, data in (("IMAGE_1", b"one"), ("IMAGE_2", b"another")):
        wire = serialize_byte_tensor(np.array([data], dtype=np.object_)).item()
        assert base64.b64decode(step[name]["b64"]) == wire


def test_a_closed_loop_is_asked_for_and_its_report_read(analyzer):
    read = analyzer.closed("host:1", "face_analyze", {"IMAGE": b"x"}, 4, liveness=True, seconds=3.0)
    assert read == Report(throughput=85.2165, p50_ms=45.498, p90_ms=56.815, p95_ms=59.437, p99_ms=66.857)
    arguments = " ".join(_told(analyzer)["arguments"])
    for wanted in ("-m face_analyze -i grpc -u host:1", "anti_spoofing:true:bool", "--concurrency-range 4"):
        assert wanted in arguments
    assert "--measurement-interval 1000 --max-trials 3" in arguments


def test_an_open_loop_keeps_to_the_moments_that_are_due(analyzer):
    analyzer.opened("host:1", "face_verify", {"IMAGE_1": b"x"}, [0.5, 0.75, 2.0], liveness=False, seconds=3.0)
    told = _told(analyzer)
    assert told["intervals"].split() == ["500000", "250000", "1250000"]
    assert "anti_spoofing:false:bool" in told["arguments"]
    assert "--concurrency-range" not in told["arguments"]


def test_what_it_says_when_it_fails_is_one_line(tmp_path):
    failing = PerfAnalyzer(
        _program(tmp_path, "#!/bin/sh\necho begin\necho 'Thread [0] had error: no'\nexit 99\n"), tmp_path
    )
    with pytest.raises(PerfAnalyzerError, match=r"^perf_analyzer failed: Thread \[0\] had error: no$"):
        failing.closed("host:1", "face_analyze", {"IMAGE": b"x"}, 1, liveness=True, seconds=1.0)


def test_a_run_without_a_report_is_an_error(tmp_path):
    silent = PerfAnalyzer(_program(tmp_path, "#!/bin/sh\n"), tmp_path)
    with pytest.raises(PerfAnalyzerError, match="wrote no report"):
        silent.closed("host:1", "face_analyze", {"IMAGE": b"x"}, 1, liveness=True, seconds=1.0)


def test_a_report_of_nothing_is_an_error():
    with pytest.raises(PerfAnalyzerError, match="0 measurements"):
        perf_analyzer.report(CSV.splitlines()[0])


def test_a_machine_that_it_does_not_run_on_is_told_so(monkeypatch):
    monkeypatch.setattr(perf_analyzer.platform, "machine", lambda: "aarch64")
    with pytest.raises(PerfAnalyzerError, match="x86-64, not on linux on aarch64"):
        perf_analyzer.find()


def test_a_wheel_without_its_libraries_is_named(tmp_path):
    with pytest.raises(PerfAnalyzerError, match=r"needs libb64\.so\.0d"):
        perf_analyzer._link(tmp_path, tmp_path / "lib")


def test_generators_take_turns_and_each_begins_as_often():
    turns = []

    def generator(name, throughput):
        def run():
            turns.append(name)
            return Report(throughput, 1.0, 1.0, 1.0, 2.0)

        return run

    row = compared(generator("ours", 30.0), generator("theirs", 20.0), repeats=4)
    assert turns == ["ours", "theirs", "theirs", "ours"] * 2
    assert row["throughput_ratio"] == {"median": 1.5, "low": 1.5, "high": 1.5, "runs": 4}
    assert (row["throughput_agree"], row["p50_ms_agree"], row["p99_ms_agree"]) == (False, True, True)


def test_generators_agree_within_a_tenth_and_where_their_ranges_meet():
    one, other = Spread(2.0, 1.8, 2.2, 3), Spread(2.1, 1.9, 2.3, 3)
    assert agree(Spread(0.95, 0.9, 1.1, 3), one, other)
    assert not agree(Spread(0.85, 0.8, 1.1, 3), one, other)
    assert not agree(Spread(0.95, 0.94, 0.96, 3), one, Spread(2.5, 2.3, 2.6, 3))


def test_one_that_does_not_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(perf_analyzer, "GRACE_SECONDS", 0.2)
    stuck = PerfAnalyzer(_program(tmp_path, "#!/bin/sh\nexec sleep 60\n"), tmp_path)
    with pytest.raises(PerfAnalyzerError, match=r"did not end within 0\.2 s"):
        stuck.check()
