"""Times, summarised: medians and percentiles, never the samples."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

Result = TypeVar("Result")


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """How many there are, their median and their 5th and 95th percentile in milliseconds."""
    low, middle, high = np.percentile(seconds, [5, 50, 95]) * 1e3
    return {"runs": len(seconds), "median_ms": _short(middle), "p5_ms": _short(low), "p95_ms": _short(high)}


def with_ratios(by_runner: dict[str, dict[str, Any]], key: str, reference: str) -> None:
    """Add to each runner's figures how many times the reference's `key` its own is, as times_cpu: above 1 is quicker.

    Of a time (`..._ms`) the ratio is the other way round.
    """
    base = by_runner.get(reference, {}).get(key)
    for figures in by_runner.values():
        if base and figures.get(key):
            ratio = base / figures[key] if key.endswith("_ms") else figures[key] / base
            figures["times_cpu"] = _short(ratio)


async def load(call: Callable[[], Awaitable[Any]], callers: int, seconds: float) -> tuple[list[float], float]:
    """Let so many callers call without a pause, each at least once and none anew after `seconds`: how long each call
    took, and all of them together, in seconds. A call's failure is raised when the others have ended too."""
    times: list[float] = []
    began = time.perf_counter()

    async def caller() -> None:
        while True:
            sent = time.perf_counter()
            await call()
            now = time.perf_counter()
            times.append(now - sent)
            if now - began >= seconds:
                return

    await together(*(caller() for _ in range(callers)))
    return times, time.perf_counter() - began


async def together(*awaitables: Awaitable[Result]) -> list[Result]:
    """All results in order. A failure is raised when the others have ended too."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast("list[Result]", results)


def rate(count: int, seconds: float) -> float:
    """So many a second."""
    return _short(count / seconds)


def _short(value: float) -> float:
    """Four digits: no timing has more."""
    return float(f"{value:.4g}")
