"""How long the stages of a request take. Whoever works on one says which stage it is, and not who wants to know."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

QUEUE, DECODE, DETECT, RECOGNISE, LIVENESS, TOTAL = "queue", "decode", "detect", "recognise", "liveness", "total"
STAGES = (QUEUE, DECODE, DETECT, RECOGNISE, LIVENESS, TOTAL)

_seconds: ContextVar[dict[str, float] | None] = ContextVar("_seconds", default=None)
_adding = threading.Lock()


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Seconds by stage of what happens inside, also in what is begun there elsewhere in this context (contextvars).
    TOTAL, all of it, is there once it is over."""
    seconds: dict[str, float] = {}
    token, start = _seconds.set(seconds), time.perf_counter()
    try:
        yield seconds
    finally:
        seconds[TOTAL] = time.perf_counter() - start
        _seconds.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """What happens inside is added to its stage, also when it fails; where nobody measures, nothing is."""
    start = time.perf_counter()
    try:
        yield
    finally:
        spent(name, time.perf_counter() - start)


def spent(name: str, taken: float) -> None:
    """Add so many seconds to a stage; where nobody measures, nothing is."""
    seconds = _seconds.get()
    if seconds is not None:
        with _adding:  # parts of a stage may end at the same time
            seconds[name] = seconds.get(name, 0.0) + taken
