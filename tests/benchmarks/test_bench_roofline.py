"""What a machine could answer at most, from what it reaches with each net alone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from benchmarks.bench import roofline
from benchmarks.bench.pictures import Picture, picture
from benchmarks.bench.roofline import Rates, Roofline

RATES = Rates(decode=100.0, detector=50.0, recognizer=200.0, minifasnet_v2=250.0, minifasnet_v1se=500.0)


def test_a_request_takes_what_its_decoding_and_its_nets_take():
    assert 1 / RATES.requests(images=1, faces=0, liveness=True) == pytest.approx(0.010 + 0.020)
    assert 1 / RATES.requests(images=1, faces=6, liveness=False) == pytest.approx(0.030 + 6 * 0.005)
    assert 1 / RATES.requests(images=2, faces=1, liveness=True) == pytest.approx(2 * (0.030 + 0.005 + 0.004 + 0.002))


def test_decoding_a_raw_frame_costs_nothing():
    rates = Rates(float("inf"), 50.0, 200.0, 250.0, 500.0)
    assert rates.requests(images=1, faces=0, liveness=False) == pytest.approx(50.0)


def test_the_graph_written_for_a_cpu_is_taken_where_there_is_one(tmp_path):
    folder = tmp_path / "net" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").touch()
    assert roofline.graph(tmp_path, "net").name == "model.onnx"
    (folder / "cpu.onnx").touch()
    assert roofline.graph(tmp_path, "net").name == "cpu.onnx"


def test_thread_counts_end_with_all_cores(monkeypatch):
    monkeypatch.setattr(roofline, "cores", lambda: 6)
    assert roofline.thread_counts() == [1, 2, 4, 6]
    monkeypatch.setattr(roofline, "cores", lambda: 1)
    assert roofline.thread_counts() == [1]


def test_jobs_are_repeated_side_by_side():
    both = threading.Barrier(2, timeout=10)
    warm = threading.Event()

    def job() -> None:
        if warm.is_set():
            both.wait()

    def last() -> None:
        job()
        warm.set()

    assert roofline.rate([job, last], items=1, seconds=0.0) > 0


def test_a_job_that_fails_is_not_a_rate():
    with pytest.raises(ZeroDivisionError):
        roofline.rate([lambda: 1 // 0], items=1, seconds=0.0)


@pytest.mark.parametrize(
    ("images", "faces", "liveness", "runs"),
    [
        (2, 1, False, ["decode", "detector 1", "decode", "detector 1", "recognizer 2"]),
        (1, 6, True, ["decode", "detector 1"]
         + [f"{net} {rows}" for net in ("recognizer", "minifasnet_v2", "minifasnet_v1se") for rows in (4, 2)]),
    ],
    ids=["verify", "six faces"],
)  # fmt: skip
def test_in_turn_the_faces_of_all_images_go_through_the_nets_together(monkeypatch, images, faces, liveness, runs):
    ran = []

    def rate(jobs, items, seconds):
        jobs[0]()
        return 1.0

    nets = {(net, rows): lambda name=f"{net} {rows}": ran.append(name) for net in roofline.NETS for rows in range(1, 5)}
    monkeypatch.setattr(roofline, "rate", rate)
    monkeypatch.setattr(roofline, "decode", lambda data: ran.append("decode"))
    monkeypatch.setattr(roofline, "turns", lambda repository: nets)
    monkeypatch.setattr(roofline, "best_ways", lambda repository: {})
    monkeypatch.setattr(roofline, "best", lambda ways: None)
    encoded = Picture("a JPEG", b"", 480, 640, faces, encoded=True)
    Roofline(Path(), encoded).in_turn(0.0, images=images, faces=faces, liveness=liveness)
    assert ran == [
        run.replace("detector", roofline.DETECTOR).replace("recognizer", roofline.RECOGNIZER) for run in runs
    ]


def test_the_real_nets_have_a_roofline(repository, monkeypatch):
    monkeypatch.setattr(roofline, "TRY_SECONDS", 0.0)
    monkeypatch.setattr(roofline, "TRY_ROUNDS", 1)
    roofline.best_ways.cache_clear()
    try:
        encoded, raw = (Roofline(repository, picture("640x480", 1, encoded)) for encoded in (True, False))
        assert set(encoded.ways) == {*roofline.NETS, "decode"}
        assert "decode" not in raw.ways
        assert 0 < encoded.measure(0.0).requests(images=2, faces=1, liveness=True) < float("inf")
        assert raw.measure(0.0).decode == float("inf")
    finally:
        roofline.best_ways.cache_clear()
