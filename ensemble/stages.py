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


async def timed(stage: str, work: Awaitable[Result]) -> Result:
    """The result of `work`, whose seconds are added to its stage, also when it fails. Elsewhere it is just awaited."""
    seconds, start = _seconds.get(), time.perf_counter()
    try:
        return await work
    finally:
        if seconds is not None:
            seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
