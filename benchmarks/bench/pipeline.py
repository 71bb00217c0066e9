"""The served pipeline from end to end: throughput and times by load, and its share of what the machine could do.

A closed loop has so many callers who ask again as soon as they are answered; SATURATION of them keep every core busy.
An open loop asks at a share of the throughput that a closed loop of SATURATION callers reached just before it. All that
is compared is measured in turns.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.bench import arrivals
from benchmarks.bench.cases import (
    ANALYZE,
    CLOSED,
    CONSTANT,
    HIGH,
    POISSON,
    VERIFY,
    Asker,
    Case,
    Run,
    Runs,
    high,
    spread,
    wanted,
)
from benchmarks.bench.pictures import Picture, picture
from benchmarks.bench.roofline import Roofline
from benchmarks.bench.served import served
from facegate.build.build import build
from facegate.cli.options import DEFAULT_PACK
from facegate.packs.shipped import pack_named
from facegate_ensemble.runtime.cores import cores

SATURATION = max(8, 4 * cores())
ROOFLINE_SECONDS = 0.8
"""For one measurement of all nets, and as long for all in turn: before and after each run."""
USUAL = 0.7
"""The utilisation at which a server is commonly run; its runs are the ones that the summaries are about."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. A run lasts `seconds` after its warm-up and is repeated `repeats` times in a closed loop;
    in open loops `open_repeats`, and `usual_repeats` at the utilisation USUAL. Cases other than the main ones have
    `other_repeats`."""

    seconds: float
    repeats: int
    other_repeats: int
    callers: tuple[int, ...]
    open_repeats: int
    usual_repeats: int
    utilisations: tuple[float, ...]
    opened: int
    """The first so many main cases are asked in open loops, the last of them only at the utilisation USUAL."""


FULL = Plan(
    seconds=1.5,
    repeats=3,
    other_repeats=1,
    callers=tuple(sorted({1, 2, 4, 8, 16, 32, SATURATION})),
    open_repeats=1,
    usual_repeats=4,
    utilisations=(0.5, USUAL, 0.9, 1.2),
    opened=3,
)
QUICK = Plan(
    seconds=1.0,
    repeats=2,
    other_repeats=2,
    callers=(1, SATURATION),
    open_repeats=2,
    usual_repeats=2,
    utilisations=(USUAL,),
    opened=1,
)
WARM_UP = 0.3
USUAL_SECONDS = 5.0
USUAL_REQUESTS = 320
"""At least, of a run at the usual utilisation and of its repeats together: their p99 is asked about."""

LEAST_SHARE = 0.85
MOST_OVER_MEDIAN = 2.0
MOST_OVER_MODEL = 1.5


def measure(quick: bool) -> list[dict[str, Any]]:
    """A row for each case and load, then the summaries."""
    plan = QUICK if quick else FULL
    main, others = main_cases(), other_cases()[-2:] if quick else other_cases()
    rooflines = Rooflines()
    for case in (*main, *others):
        rooflines.of(case.picture)  # found while no server runs
    with served() as server:
        asker = Asker(server, plan.seconds, WARM_UP)
        swept = [(case, callers) for case in main for callers in plan.callers]
        rows = list(_closed(asker, rooflines, swept, plan.repeats))
        rows += [_share(row) for row in rows if row["callers"] == SATURATION]
        ends = [(case, callers) for case in others for callers in (1, SATURATION)]
        rows += _closed(asker, rooflines, ends, plan.other_repeats)
        for number, case in enumerate(main[: plan.opened]):
            rows += _opened(asker, case, plan, plan.utilisations if number < len(main) - 1 else (USUAL,))
        return rows


def main_cases() -> list[Case]:
    """Those that the whole sweep is for."""
    return [
        Case(VERIFY, picture("640x480", 1)),
        Case(ANALYZE, picture("640x480", 1)),
        Case(ANALYZE, picture("640x480", 6)),
    ]


def other_cases() -> list[Case]:
    """Other sizes, numbers of faces, raw frames, and no liveness."""
    return [
        Case(VERIFY, picture("1080p", 1)),
        Case(ANALYZE, picture("1080p", 1)),
        Case(ANALYZE, picture("3MP", 1)),
        Case(ANALYZE, picture("640x480", 0)),
        Case(ANALYZE, picture("640x480", 30)),
        Case(ANALYZE, picture("640x480", 1, encoded=False)),
        Case(VERIFY, picture("640x480", 1), liveness=False),
        Case(ANALYZE, picture("640x480", 1), liveness=False),
        Case(VERIFY, picture("640x480", 1, encoded=False)),
        Case(VERIFY, picture("3MP", 1)),
    ]


class Rooflines:
    """The Roofline of each picture, found when it is first asked for."""

    def __init__(self) -> None:
        self._repository = build(pack_named(DEFAULT_PACK))
        self._found: dict[str, Roofline] = {}

    def of(self, image: Picture) -> Roofline:
        """The one with this picture's decoding."""
        if image.name not in self._found:
            self._found[image.name] = Roofline(self._repository, image)
        return self._found[image.name]

    def requests(self, case: Case) -> tuple[float, float]:
        """Requests of a case a second that the nets and the decoding alone allow, measured now: by the better of two
        ways to use the cores, and by the second of them, all in turn on each."""
        roofline = self.of(case.picture)
        asked: dict[str, Any] = {"images": case.images, "faces": case.faces, "liveness": case.liveness}
        alone, in_turn = roofline.measure(ROOFLINE_SECONDS), roofline.in_turn(ROOFLINE_SECONDS, **asked)
        return max(alone.requests(**asked), in_turn), in_turn


def _closed(
    asker: Asker, rooflines: Rooflines, loads: Iterable[tuple[Case, int]], repeats: int
) -> Iterator[dict[str, Any]]:
    asked = [(Runs(case, CLOSED, {"callers": callers}), callers) for case, callers in loads]
    limits: dict[int, list[tuple[float, float]]] = {number: [] for number in range(len(asked))}
    for _ in range(repeats):
        for number, (runs, callers) in enumerate(asked):
            if callers != SATURATION:
                runs.of.append(asker.closed(runs.case, callers))
                continue
            before = rooflines.requests(runs.case)
            runs.of.append(asker.closed(runs.case, callers))
            after = rooflines.requests(runs.case)
            limits[number].append(((before[0] + after[0]) / 2, (before[1] + after[1]) / 2))
    for number, (runs, _) in enumerate(asked):
        yield runs.row(**_shares(runs.of, limits[number]))


def _shares(runs: list[Run], limits: list[tuple[float, float]]) -> dict[str, Any]:
    if not limits:
        return {}
    figures: dict[str, Any] = {}
    for name, values in zip(("roofline", "in_turn"), zip(*limits, strict=True), strict=True):
        shares = [run.result.throughput / limit for run, limit in zip(runs, values, strict=True)]
        figures |= {name: spread(values), f"share_of_{name}": spread(shares)}
    return figures


def _share(row: dict[str, Any]) -> dict[str, Any]:
    """What is wanted of a case at saturation."""
    share = row["share_of_roofline"]
    of = f"share of the roofline, {row['case']}"
    return {"kind": "ratio", "of": of, "case": row["case"], "ratio": share} | wanted(share["median"], ">=", LEAST_SHARE)


@dataclass(slots=True)
class _Open:
    """The runs of one open loop, and the times in ms that the queue's model makes of the very same arrivals by Poisson,
    run by run."""

    runs: Runs
    model: list[list[float]] = field(default_factory=list)

    def over(self, others: Sequence[Sequence[float]], percent: float) -> dict[str, float] | None:
        """p99 over a percentile of `others`, of all runs together; see `cases.high`."""
        times = [run.result.times_ms for run in self.runs.of]
        p99, other = high(times, *HIGH["p99_ms"]), high(others, percent, 1)
        if p99 is None or other is None or not all(times) or not all(others):
            return None
        alone = [np.percentile(of, 99) / np.percentile(by, percent) for of, by in zip(times, others, strict=True)]
        return {**spread([float(each) for each in alone]), "median": p99["median"] / other["median"]}

    def over_model(self) -> dict[str, float] | None:
        """p99 over the model's."""
        return self.over(self.model, 99)

    def over_median(self) -> dict[str, float] | None:
        """p99 over p50."""
        return self.over([run.result.times_ms for run in self.runs.of], 50)


def _opened(asker: Asker, case: Case, plan: Plan, utilisations: Iterable[float]) -> Iterator[dict[str, Any]]:
    asked = {
        (kind, utilisation): _Open(Runs(case, kind, {"utilisation": utilisation}))
        for utilisation in utilisations
        for kind in (CONSTANT, POISSON)
    }
    for number in range(plan.usual_repeats):
        saturation = asker.closed(case, SATURATION).result.throughput
        for (_, utilisation), loop in asked.items():
            if number < plan.open_repeats or utilisation == USUAL:
                _ask(asker, plan, loop, utilisation, saturation, seed=number)
    for (kind, utilisation), loop in asked.items():
        yield loop.runs.row(**({"p99_over_model": loop.over_model()} if loop.model else {}))
        if utilisation == USUAL:
            yield _summary(case, kind, loop)


def _ask(asker: Asker, plan: Plan, loop: _Open, utilisation: float, saturation: float, seed: int) -> None:
    rate, seconds = utilisation * saturation, plan.seconds
    if utilisation == USUAL:
        seconds = max(USUAL_SECONDS, USUAL_REQUESTS / plan.usual_repeats / rate)
    whole = asker.warm_up + seconds
    poisson = loop.runs.kind == POISSON
    due = arrivals.poisson(rate, whole, seed) if poisson else arrivals.constant(rate, whole)
    loop.runs.of.append(asker.opened(loop.runs.case, due, seconds))
    if poisson and rate < saturation:
        loop.model.append([each * 1e3 for each in of_cores(due, saturation, cores(), since=asker.warm_up)])


def _summary(case: Case, kind: str, loop: _Open) -> dict[str, Any]:
    """At the usual utilisation: how even the times are by constant arrival; what no queue explains by Poisson."""
    if kind == CONSTANT:
        name, ratio, most = "p99 / p50, constant arrival", loop.over_median(), MOST_OVER_MEDIAN
    else:
        name, ratio, most = f"p99 / p99 of M/D/{cores()}, Poisson arrival", loop.over_model(), MOST_OVER_MODEL
    row = {"kind": "ratio", "of": name, "case": case.name, "utilisation": USUAL, "ratio": ratio}
    return row | wanted(ratio["median"] if ratio else None, "<=", most)


def sojourns(arrivals: Iterable[float], servers: int, service: Callable[[], float]) -> list[float]:
    """How long each of `arrivals` (ascending) is in the system, first come first served, each served by one of
    `servers` for as long as `service` says."""
    free_at = [0.0] * servers
    times = []
    for arrival in arrivals:
        done = max(arrival, free_at[0]) + service()
        heapq.heapreplace(free_at, done)
        times.append(done - arrival)
    return times


def of_cores(arrivals: Sequence[float], throughput: float, servers: int, since: float) -> list[float]:
    """A server that answers `throughput` requests a second at saturation, asked at `arrivals`, as M/D/c: each of its
    `servers` cores takes one request at a time and needs the same time for each, servers / throughput. In seconds, for
    each of the requests that arrive at `since` or later."""
    seconds = servers / throughput
    times = sojourns(arrivals, servers, lambda: seconds)
    return [time for arrival, time in zip(arrivals, times, strict=True) if arrival >= since]
