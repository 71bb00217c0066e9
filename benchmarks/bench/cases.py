"""One kind of request, asked of a server again and again, and what came of it as a row of figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from benchmarks.bench import load
from benchmarks.bench.load import Result, Work
from benchmarks.bench.pictures import Picture
from benchmarks.bench.served import Served, Spent
from benchmarks.bench.spread import spread as spread_of

VERIFY, ANALYZE = "verify", "analyze"
CLOSED, CONSTANT, POISSON = "closed", "constant", "poisson"
"""Loops: a closed one; an open one with requests due evenly; an open one with requests due regardless of each other."""

FIGURES = ("throughput", "mean_ms", "p50_ms", "p90_ms", "late_ms")
HIGH = {"p95_ms": (95, 50), "p99_ms": (99, 200)}
"""High percentiles, and the fewest requests that have one."""


def spread(values: Sequence[float]) -> dict[str, float]:
    """A Spread as it stands in a row."""
    return asdict(spread_of(values))


def high(runs: Sequence[Sequence[float]], percent: float, least: int) -> dict[str, float] | None:
    """A high percentile of the runs' times taken together, which stands as the `median`, beside the smallest and the
    largest of single runs'. None of fewer than `least` times."""
    if sum(map(len, runs)) < least:
        return None
    alone = spread([float(np.percentile(times, percent)) for times in runs if times])
    return {**alone, "median": float(np.percentile(np.concatenate(runs), percent))}


def wanted(value: float | None, sign: Literal[">=", "<="], limit: float) -> dict[str, Any]:
    """What a row says of a target."""
    met = value is not None and (value >= limit if sign == ">=" else value <= limit)
    return {"wanted": f"{sign} {limit:g}", "met": met}


@dataclass(frozen=True, slots=True)
class Case:
    """A request of one picture (analyze), or of the same one twice (verify)."""

    model: str
    picture: Picture
    liveness: bool = True

    @property
    def images(self) -> int:
        """Pictures of a request."""
        return 2 if self.model == VERIFY else 1

    @property
    def faces(self) -> int:
        """Faces of a picture that the nets are asked about."""
        return 1 if self.model == VERIFY else self.picture.faces

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.model}, {self.picture.name}, liveness {'on' if self.liveness else 'off'}"

    def work(self) -> Work:
        """The request to send."""
        if self.model == VERIFY:
            return load.verify(self.picture, self.picture, liveness=self.liveness)
        return load.analyze(self.picture, liveness=self.liveness)


@dataclass(frozen=True, slots=True)
class Run:
    """What the generator saw, and what the server spent."""

    result: Result
    spent: Spent

    @property
    def server_cpu_ms(self) -> float:
        """CPU time of all the server's processes for a right answer."""
        return self.spent.cpu_seconds / max(1, self.spent.requests) * 1e3


@dataclass(slots=True)
class Runs:
    """The repeats of one case under one load: `kind` is a loop, or what it is that grows from row to row; `level`
    is how much of it."""

    case: Case
    kind: str
    level: dict[str, float]
    of: list[Run] = field(default_factory=list)

    def row(self, **more: Any) -> dict[str, Any]:
        """Every figure as the spread of the runs, high percentiles as `high` says; errors added up, peak memory the
        most."""
        results, spent = [run.result for run in self.of], [run.spent for run in self.of]
        figures = {name: [value for each in results if (value := getattr(each, name)) is not None] for name in FIGURES}
        errors = sum((Counter(each.errors) for each in results), Counter[str]())
        return {
            "kind": self.kind,
            "case": self.case.name,
            "model": self.case.model,
            "height": self.case.picture.height,
            "width": self.case.picture.width,
            "faces": self.case.picture.faces,
            "encoded": self.case.picture.encoded,
            "liveness": self.case.liveness,
            **self.level,
            **{name: spread(values) if values else None for name, values in figures.items()},
            **{name: high([each.times_ms for each in results], *which) for name, which in HIGH.items()},
            "answered": sum(each.answered for each in results),
            "errors": dict(errors),
            "server_cpu_ms": spread([run.server_cpu_ms for run in self.of]),
            "generator_cpu_ms": spread([each.cpu_ms for each in results]),
            "triton_queue_ms": spread([each.queue_ms for each in spent]),
            "triton_compute_ms": spread([each.compute_ms for each in spent]),
            "stages_ms": {stage: spread([each.stages_ms[stage] for each in spent]) for stage in spent[0].stages_ms},
            "server_peak_mb": max(each.server_peak_mb for each in spent),
            **more,
        }


class Asker:
    """Loads one server, one run after another."""

    def __init__(self, server: Served, seconds: float, warm_up: float) -> None:
        self._server = server
        self._seconds = seconds
        self.warm_up = warm_up
        self._before = server.moment()

    def closed(self, case: Case, callers: int) -> Run:
        """A closed loop of so many callers."""
        work = case.work()
        times = {"seconds": self._seconds, "warm_up": self.warm_up}
        return self._run(work, lambda: load.closed(self._server.address, work, callers, **times))

    def opened(self, case: Case, due: Sequence[float], seconds: float) -> Run:
        """An open loop, with a request whenever one is due, measured for `seconds` after the warm-up."""
        work = case.work()
        times = {"seconds": seconds, "warm_up": self.warm_up}
        return self._run(work, lambda: load.opened(self._server.address, work, due, **times))

    def _run(self, work: Work, ask: Callable[[], Result]) -> Run:
        before = replace(self._before, cpu_seconds=self._server.cpu_seconds())  # idling costs too, and is not the run's
        result = ask()
        now = self._server.moment()
        spent, self._before = before.until(now, work.model), now
        return Run(result, spent)
