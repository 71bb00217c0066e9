"""When requests of an open loop are due: seconds from its start, ascending. Nobody waits for an answer."""

from __future__ import annotations

import random


def constant(rate: float, seconds: float) -> list[float]:
    """`rate` requests a second, evenly.

    >>> constant(4, 1)
    [0.0, 0.25, 0.5, 0.75]
    """
    return [number / rate for number in range(round(rate * seconds))]


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """`rate` requests a second on average, each regardless of the others: what many independent callers make."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    due: list[float] = []
    now = chance.expovariate(rate)
    while now < seconds:
        due.append(now)
        now += chance.expovariate(rate)
    return due


def cameras(count: int, frames_per_second: float, seconds: float, seed: int) -> list[float]:
    """`count` cameras, each evenly, and none in step with another."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    phases = [chance.random() / frames_per_second for _ in range(count)]
    return sorted(phase + each for phase in phases for each in constant(frames_per_second, seconds))
