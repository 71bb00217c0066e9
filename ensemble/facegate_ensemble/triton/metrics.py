"""What the requests of a model come to, as metrics of Triton's own endpoint.

Each call into Triton is a message to another process and the wait for its answer, so a request only leaves its numbers
here, and a thread hands them on. Two things about Triton 2.51 decide what may be called: `set` keeps Python's lock
while it waits, `increment` and `observe` do not; and a call that Triton refuses may keep that lock for ever. So gauges
move by differences, and nothing is handed on that could be refused.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from facegate_client import __version__, contract
from facegate_ensemble.counts import (
    CODES,
    DIFFERENT,
    FACES,
    FAKE,
    LIVENESS,
    REAL,
    REQUESTS,
    VERIFICATIONS,
    VERIFIED,
    VETOED,
    Counts,
    counted,
)
from facegate_ensemble.stage_timers import STAGES
from facegate_ensemble.triton.admission import Admission

CANARY = "facegate-canary"
"""The id of the watcher's own requests, which are not counted."""

EVERY_SECONDS = 0.5

MOST_WAITING = 10_000
"""Requests whose numbers may wait for the thread. Were there ever more, the oldest would not be counted."""

BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
"""Where times are told apart, in seconds."""

COUNTERS = {
    REQUESTS: ("Answered requests by outcome", "code", CODES),
    FACES: ("Faces in answers", "", ("",)),
    LIVENESS: ("Faces checked for liveness by verdict", "verdict", (REAL, FAKE)),
    VERIFICATIONS: ("Verdicts on two faces", "outcome", (VERIFIED, DIFFERENT, VETOED)),
}
GAUGES: dict[str, tuple[str, Callable[[Admission], int]]] = {
    "permits": ("Requests that may be worked on at a time", lambda admission: admission.permits),
    "permits_in_use": ("Requests that are worked on", lambda admission: admission.in_use),
    "requests_waiting": ("Requests that wait for a permit", lambda admission: admission.waiting),
}


class Metrics:
    """The metrics of one model, made with `family`, which is pb_utils.MetricFamily.

    `info` are labels that say what is served. Whatever goes wrong is logged once and ends the metrics, nothing else.
    """

    def __init__(self, family: Any, model: str, info: dict[str, str], admission: Admission) -> None:
        self._family, self._model, self._info, self._admission = family, model, info, admission
        self._answered: deque[tuple[Counts, dict[str, float]]] = deque(maxlen=MOST_WAITING)
        self._ending = threading.Event()
        self._families: list[Any] = []  # a family that nothing refers to is deleted, and its metrics with it
        self._counters: dict[tuple[str, str], Any] = {}
        self._gauges: dict[str, Any] = {}
        self._times: dict[str, Any] = {}
        self._shown = dict.fromkeys(GAUGES, 0)
        self._thread = threading.Thread(target=self._guarded, args=(self._run,), name=f"{model} metrics")
        self._thread.start()

    def count(self, code: str, outputs: Mapping[str, NDArray[Any]], seconds: dict[str, float]) -> None:
        """Add an answered request: OK or an error's code, its outputs by name, and seconds by stage."""
        if not self._ending.is_set():
            self._guarded(lambda: self._answered.append((counted(code, outputs), seconds)))

    def close(self) -> None:
        """Hand on what is left, and give the metrics up.

        Each tells Triton that it goes. Left to the end of the process it would find nobody to tell, and crash.
        """
        self._ending.set()
        self._thread.join()
        for held in (self._counters, self._gauges, self._times, self._families):
            held.clear()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._ending.set()
            with contextlib.suppress(OSError):
                print(f"{self._model}: no more metrics: {error!r}", file=sys.stderr, flush=True)

    def _run(self) -> None:
        self._make_all()
        ended = False
        while not ended:
            self._hand_on()
            ended = self._ending.wait(EVERY_SECONDS)
        self._hand_on()

    def _make_all(self) -> None:
        kinds = self._family
        for name, (text, label, values) in COUNTERS.items():
            if name != VERIFICATIONS or self._model == contract.VERIFY:
                labels = [{label: value} if label else {} for value in values]
                made = self._make(kinds.COUNTER, name, text, labels)
                self._counters |= {(name, value): metric for value, metric in zip(values, made, strict=True)}
        for name, (text, _) in GAUGES.items():
            (self._gauges[name],) = self._make(kinds.GAUGE, name, text, [{}])
        stages = [{"stage": stage} for stage in STAGES]
        times = self._make(kinds.HISTOGRAM, "stage_seconds", "Time that requests take", stages, buckets=BUCKETS)
        self._times |= zip(STAGES, times, strict=True)
        self._gauges["info"] = self._make(kinds.GAUGE, "info", "What is served, always 1", [self._info])[0]
        self._gauges["info"].increment(1)
        text = "The version of FaceGate, always 1"
        self._gauges["build_info"] = self._make(kinds.GAUGE, "build_info", text, [{"version": __version__}])[0]
        self._gauges["build_info"].increment(1)

    def _make(self, kind: Any, name: str, text: str, labels: list[dict[str, str]], **options: Any) -> list[Any]:
        """One metric for each of `labels`."""
        family = self._family(name=f"facegate_{name}", description=text, kind=kind)
        self._families.append(family)
        return [family.Metric(labels={"model": self._model, **more}, **options) for more in labels]

    def _hand_on(self) -> None:
        answered = [self._answered.popleft() for _ in range(len(self._answered))]
        total: Counter[tuple[str, str]] = Counter()
        for counts, _ in answered:
            total.update(counts)
        for series, count in total.items():
            if count:
                self._counters[series].increment(count)
        for name, (_, read) in GAUGES.items():
            value = read(self._admission)
            if value != self._shown[name]:
                self._gauges[name].increment(value - self._shown[name])
                self._shown[name] = value
        for _, seconds in answered:
            for stage, duration in seconds.items():
                self._times[stage].observe(duration)
