"""Each net alone at every size of batch, from host memory to host memory, all runners in turns."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.build import MOST_FACES
from benchmarks.gpu.result import in_a_line
from benchmarks.gpu.runners import CPU_RUNNER, Runner, rows
from benchmarks.gpu.timing import rate, summary, with_ratios
from facegate_ensemble.runtime.in_process import Session
from facegate_ensemble.runtime.inference_error import NetFault

WARM_UP = 2
"""Runs of each runner, of which the last says how many rounds of turns there is time for."""

LEAST, MOST = 3, 20
"""Rounds."""

WAKE_SECONDS, TURN_SECONDS = 0.01, 0.03
"""In its turn a runner first runs unmeasured, since a GPU is slower after it stood still, then is measured; at least
once. One whose single run takes longer than the waking is measured at once."""

PLANNED = 0.8
"""Of a step's time, what its runs are planned to fill."""


def measure(
    crops: Mapping[str, NDArray[np.uint8]], runners: Sequence[Runner], seconds: float, found: dict[str, Any]
) -> None:
    """Add to `found`, under "figures" by net, batch and runner, how long a run takes; under "not_measured" for what the
    time did not suffice: large batches come last. `crops`, UINT8 [N, H, W, 3] by net, are what is run, repeated to the
    size of the batch."""
    figures = found.setdefault("figures", {})
    until = time.monotonic() + seconds * PLANNED
    batches = [1 << power for power in range(MOST_FACES.bit_length())]
    cells = [(net, batch) for batch in batches for net in crops if batch <= rows(net)]
    for number, (net, batch) in enumerate(cells):
        able = [runner for runner in runners if batch <= runner.most(net)]
        share = (until - time.monotonic()) / (len(cells) - number)
        if share <= 0:
            found.setdefault("not_measured", []).append(f"{net} by {batch}")
            continue
        filled = np.resize(crops[net], (batch, *crops[net].shape[1:]))
        figures.setdefault(net, {})[str(batch)] = _cell(net, filled, able, share)


def _cell(net: str, batch: NDArray[np.uint8], runners: Sequence[Runner], seconds: float) -> dict[str, Any]:
    """One net at one size of batch. A runner that fails is left out from there on, with its reason."""
    figures: dict[str, dict[str, Any]] = {}
    going: dict[str, Session] = {runner.name: runner.sessions[net] for runner in runners}
    times: dict[str, list[float]] = {name: [] for name in going}
    last: dict[str, float] = {}

    def turn(name: str, wake: float, measured: float) -> list[float]:
        try:
            _runs(going[name], batch, wake)
            return _runs(going[name], batch, measured) or _runs(going[name], batch, 1e-9)
        except NetFault as fault:
            figures[name] = {"trouble": in_a_line(fault)}
            del going[name]
            return []

    began = time.monotonic()
    for _ in range(WARM_UP):
        for name in list(going):
            last[name] = sum(turn(name, 0, 0))
    round_seconds = sum(max(taken, WAKE_SECONDS + TURN_SECONDS) for taken in last.values())
    left = seconds - (time.monotonic() - began)
    for number in range(int(np.clip(left / max(round_seconds, 1e-6), LEAST, MOST))):
        names = list(going)
        first = number % max(1, len(names))  # not always the same one before another
        for name in [*names[first:], *names[:first]]:
            times[name] += turn(name, WAKE_SECONDS if last[name] < WAKE_SECONDS else 0, TURN_SECONDS)
    for name in going:
        spread = summary(times[name])
        figures[name] = {**spread, "rows_per_s": rate(len(batch), spread["median_ms"] / 1e3)}
    with_ratios(figures, "median_ms", CPU_RUNNER)
    return {runner.name: figures[runner.name] for runner in runners}


def _runs(session: Session, batch: NDArray[np.uint8], seconds: float) -> list[float]:
    """Run again until so many seconds are over: how long each run took."""
    times: list[float] = []
    while sum(times) < seconds:
        began = time.perf_counter()
        session.run(batch)
        times.append(time.perf_counter() - began)
    return times
