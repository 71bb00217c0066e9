"""The two requests, as a camera and a gate make them, answered in this process by each runner in turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.gpu.result import in_a_line
from benchmarks.gpu.runners import CPU_RUNNER, Runner
from benchmarks.gpu.timing import load, rate, summary, with_ratios
from facegate_client.imaging.image import decode
from facegate_ensemble.pack import Pack
from facegate_ensemble.pipeline.pipeline import Pipeline

CALLERS = (1, 4, 16)
ROUNDS = 3
"""Turns of every runner, whose calls are put together."""

PLANNED = 0.7
"""Of a step's time, what its calls are planned to fill; those under way at the end of a turn are waited for."""

LONGEST = 3.0
"""Seconds of a turn: longer tells no more."""

Call = Callable[[], Awaitable[Any]]


def measure(
    pack: Pack, runners: Sequence[Runner], images: tuple[bytes, bytes], seconds: float, found: dict[str, Any]
) -> None:
    """Add to `found`, under "figures" by request, callers and runner, how long a call takes and how many a second are
    answered.

    `images` are two encoded files with faces. Decoding, cropping and the liveness check are part of a call.
    """
    by_request: dict[str, dict[str, Call]] = {"analyze": {}, "verify": {}}
    for runner in runners:
        for request, call in _calls(Pipeline(pack, runner.inferer), *images).items():
            by_request[request][runner.name] = call
    asyncio.run(_measure(by_request, seconds, found))


def _calls(pipeline: Pipeline, one: bytes, other: bytes) -> dict[str, Call]:
    def analyze() -> None:
        pipeline.analyze(decode(one), anti_spoofing=True, embeddings=True)

    def verify() -> None:
        images = pipeline.lanes.together([partial(decode, one), partial(decode, other)])
        pipeline.verify(images, threshold=None, anti_spoofing=True)

    async def call(work: Callable[[], None]) -> None:
        await asyncio.wrap_future(pipeline.lanes.start(work))

    return {work.__name__: partial(call, work) for work in (analyze, verify)}


async def _measure(by_request: Mapping[str, Mapping[str, Call]], seconds: float, found: dict[str, Any]) -> None:
    until = time.monotonic() + seconds * PLANNED
    cells = [(callers, request) for callers in CALLERS for request in by_request]
    for number, (callers, request) in enumerate(cells):
        share = (until - time.monotonic()) / (len(cells) - number)
        figures = await measured(by_request[request], callers, share)
        with_ratios(figures, "requests_per_s", CPU_RUNNER)
        found.setdefault("figures", {}).setdefault(request, {})[str(callers)] = figures


async def measured(calls: Mapping[str, Call], callers: int, seconds: float) -> dict[str, dict[str, Any]]:
    """The figures of each of `calls`, in turns, within about so many seconds; a call that fails has its reason."""
    figures: dict[str, dict[str, Any]] = {}
    times: dict[str, list[float]] = {name: [] for name in calls}
    spent = dict.fromkeys(calls, 0.0)
    turn = min(LONGEST, max(0.0, seconds) / (ROUNDS * len(calls)))
    for number in range(ROUNDS + 1):
        for name, call in calls.items():
            if name in figures:
                continue
            try:
                taken, lasted = await load(call, callers, turn if number else 0.0)
            except Exception as fault:  # a server's refusals too
                figures[name] = {"trouble": in_a_line(fault)}
                continue
            if number:  # the first time is the warm-up
                times[name] += taken
                spent[name] += lasted
    for name in calls:
        if name not in figures:
            figures[name] = {**summary(times[name]), "requests_per_s": rate(len(times[name]), spent[name])}
    return figures
