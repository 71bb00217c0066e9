"""How long the stages of a request take. Whoever works on one says which stage it is, and not who wants to know."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

QUEUE, DECODE, DETECT, RECOGNISE, LIVENESS, TOTAL = "queue", "decode", "detect", "recognise", "liveness", "total"
STAGES = (QUEUE, DECODE, DETECT, RECOGNISE, LIVENESS, TOTAL)

Result = TypeVar("Result")

_seconds: ContextVar[dict[str, float] | None] = ContextVar("_seconds", default=None)


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Seconds by stage of what happens inside, in tasks begun there too. TOTAL, all of it, is there once it is over."""
    seconds: dict[str, float] = {}
    token, start = _seconds.set(seconds), time.perf_counter()
    try:
        yield seconds
    finally:
        seconds[TOTAL] = time.perf_counter() - start
        _seconds.reset(token)


def timed(stage: str, work: Awaitable[Result]) -> Awaitable[Result]:
    """`work`, whose seconds are added to its stage, also when it fails; where nobody measures, just `work`."""
    seconds = _seconds.get()
    return work if seconds is None else _added(seconds, stage, work)


async def _added(seconds: dict[str, float], stage: str, work: Awaitable[Result]) -> Result:
    start = time.perf_counter()
    try:
        return await work
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
