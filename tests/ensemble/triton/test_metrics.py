"""Metrics without a Triton: what an answer counts as, and what is handed on."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from facegate_client import __version__
from facegate_ensemble.counts import CODES, counted
from facegate_ensemble.stage_timers import STAGES
from facegate_ensemble.triton import metrics
from facegate_ensemble.triton.admission import Admission
from facegate_ensemble.triton.metrics import Metrics

Labels = frozenset[tuple[str, str]]


def verdict(verified: bool, *is_real: bool) -> dict[str, np.ndarray]:
    checks = {f"IS_REAL_{number}": np.array([real]) for number, real in enumerate(is_real, 1)}
    return {"VERIFIED": np.array([verified]), "BOX_1": np.zeros(4), "BOX_2": np.zeros(4), **checks}


@pytest.mark.parametrize(
    ("outputs", "outcome", "real", "fake"),
    [
        (verdict(True), "verified", 0, 0),
        (verdict(False), "different", 0, 0),
        (verdict(True, True, True), "verified", 2, 0),
        (verdict(False, True, True), "different", 2, 0),
        (verdict(False, True, False), "vetoed", 1, 1),
        (verdict(False, False, False), "vetoed", 0, 2),
    ],
)
def test_a_verdict(outputs, outcome, real, fake):
    assert counted("OK", outputs) == {
        ("requests_total", "OK"): 1,
        ("faces_total", ""): 2,
        ("liveness_total", "real"): real,
        ("liveness_total", "fake"): fake,
        ("verifications_total", outcome): 1,
    }


def test_faces_of_an_image():
    boxes = np.zeros((3, 4))
    counts = counted("OK", {"BOXES": boxes, "IS_REAL": np.array([True, False, True])})
    assert (counts["faces_total", ""], counts["liveness_total", "real"], counts["liveness_total", "fake"]) == (3, 2, 1)
    unchecked = counted("OK", {"BOXES": boxes})
    assert (unchecked["faces_total", ""], unchecked["liveness_total", "fake"]) == (3, 0)


def test_a_refusal_counts_by_its_code_and_nothing_else():
    assert counted("NOT_FOUND", {}) == {("requests_total", "NOT_FOUND"): 1}


class Families:
    """Stands for pb_utils.MetricFamily. `values` are those of its counters and gauges, and each histogram's list."""

    COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

    def __init__(self) -> None:
        self.values: dict[tuple[str, Labels], Any] = {}
        self.fault: Exception | None = None
        self.alive: weakref.WeakSet[Any] = weakref.WeakSet()

    def __call__(self, name: str, description: str, kind: str) -> Any:
        assert description
        return Family(self, name, kind)

    def of(self, name: str, **labels: str) -> Any:
        return self.values[name, frozenset(labels.items())]


class Family:
    def __init__(self, families: Families, name: str, kind: str) -> None:
        self.families, self.name, self.kind = families, name, kind
        families.alive.add(self)

    def Metric(self, labels: dict[str, str], buckets: list[float] | None = None) -> Any:  # noqa: N802 - Triton's name
        assert (buckets is not None) == (self.kind == "histogram")
        series = self.name, frozenset(labels.items())
        assert series not in self.families.values
        self.families.values[series] = [] if buckets else 0
        return Metric(self, series)


class Metric:
    def __init__(self, family: Family, series: tuple[str, Labels]) -> None:
        self.family, self.series = family, series
        family.families.alive.add(self)

    def _check(self) -> dict[tuple[str, Labels], Any]:
        if self.family.families.fault:
            raise self.family.families.fault
        return self.family.families.values

    def increment(self, value: float) -> None:
        assert self.family.kind == "gauge" or value > 0
        assert self.family.kind != "histogram"
        self._check()[self.series] += value

    def observe(self, value: float) -> None:
        assert self.family.kind == "histogram"
        self._check()[self.series].append(value)


@pytest.fixture
def families() -> Families:
    return Families()


@pytest.fixture
def made(families, monkeypatch):
    """Makes the metrics of a model that hand on every hundredth of a second, and closes them."""
    monkeypatch.setattr(metrics, "EVERY_SECONDS", 0.01)
    opened = []

    def make(model: str, admission: Admission | None = None) -> Metrics:
        opened.append(Metrics(families, model, {"pack": "p", "licence": "l"}, admission or Admission(3, 9, 1.0)))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_every_outcome_is_there_before_it_happens(families, made):
    for model in ("face_analyze", "face_verify"):
        made(model).close()
        assert [families.of("facegate_requests_total", model=model, code=code) for code in CODES] == [0] * 6
        for stage in STAGES:
            assert families.of("facegate_stage_seconds", model=model, stage=stage) == []
        assert families.of("facegate_info", model=model, pack="p", licence="l") == 1
        assert families.of("facegate_build_info", model=model, version=__version__) == 1
        assert families.of("facegate_permits", model=model) == 3
    verifications = {labels for name, labels in families.values if name == "facegate_verifications_total"}
    assert {dict(labels)["model"] for labels in verifications} == {"face_verify"}
    assert {dict(labels)["outcome"] for labels in verifications} == {"verified", "different", "vetoed"}


def test_nothing_of_it_is_left_for_the_end_of_the_process(families, made):
    """A metric that is deleted after its Triton ends the process by a fault of memory."""
    open_metrics = made("face_verify")
    wait_until(lambda: len(families.alive) > 20)
    open_metrics.close()
    gc.collect()
    assert not list(families.alive)


def test_what_is_counted_is_handed_on_by_and_by(families, made):
    both = made("face_analyze"), made("face_verify")
    for _ in range(2):
        both[0].count("OK", {"BOXES": np.zeros((5, 4))}, {"total": 0.25, "decode": 0.125})
        both[1].count("OK", verdict(False, True, False), {"total": 0.5})
    wait_until(lambda: families.of("facegate_stage_seconds", model="face_verify", stage="total") == [0.5, 0.5])
    wait_until(lambda: families.of("facegate_stage_seconds", model="face_analyze", stage="decode") == [0.125, 0.125])
    assert families.of("facegate_faces_total", model="face_analyze") == 10
    assert families.of("facegate_faces_total", model="face_verify") == 4
    assert families.of("facegate_liveness_total", model="face_verify", verdict="fake") == 2
    assert families.of("facegate_liveness_total", model="face_analyze", verdict="fake") == 0
    assert families.of("facegate_verifications_total", model="face_verify", outcome="vetoed") == 2


def test_closing_hands_on_what_is_left(families, made, monkeypatch):
    monkeypatch.setattr(metrics, "EVERY_SECONDS", 60)
    counting = made("face_verify")
    counting.count("INTERNAL", {}, {"total": 1.0})
    counting.close()
    assert families.of("facegate_requests_total", model="face_verify", code="INTERNAL") == 1


def test_gauges_follow_up_and_down(families, made):
    admission = Admission(3, 9, 1.0)
    made("face_verify", admission)
    for in_use, waiting in ((3, 7), (2, 0), (0, 1)):
        admission.in_use, admission.waiting = in_use, waiting
        wait_until(lambda: families.of("facegate_permits_in_use", model="face_verify") == admission.in_use)
        wait_until(lambda: families.of("facegate_requests_waiting", model="face_verify") == admission.waiting)


def test_a_fault_is_said_once_and_ends_the_metrics_only(families, made, capfd):
    counting = made("face_verify")
    wait_until(lambda: families.of("facegate_permits", model="face_verify") == 3)
    families.fault = OSError("Triton is gone")
    for _ in range(5):
        counting.count("OK", verdict(True), {"total": 0.1})
        time.sleep(0.02)
    counting.close()
    said = capfd.readouterr().err
    assert said == "face_verify: no more metrics: OSError('Triton is gone')\n"


def test_an_answer_that_cannot_be_counted_is_no_fault_of_the_request(made, capfd):
    counting = made("face_analyze")
    for _ in range(5):
        counting.count("OK", {"SCORES": np.zeros(1)}, {})
    counting.close()
    assert capfd.readouterr().err == "face_analyze: no more metrics: KeyError('BOXES')\n"


def test_counting_waits_for_nobody(families, made, monkeypatch):
    """Triton does not answer: requests go on, and what they leave is bounded."""
    monkeypatch.setattr(metrics, "MOST_WAITING", 100)
    stuck = threading.Event()
    monkeypatch.setattr(Metric, "increment", lambda *_: stuck.wait(10))
    counting = made("face_verify")
    start = time.perf_counter()
    for _ in range(1000):
        counting.count("OK", verdict(True), {"total": 0.1})
    assert time.perf_counter() - start < 5
    assert len(counting._answered) <= 100
    stuck.set()
