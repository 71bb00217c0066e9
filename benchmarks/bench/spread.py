"""A figure is never one run's."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """What several runs gave: their median, the smallest and the largest, and how many they were."""

    median: float
    low: float
    high: float
    runs: int


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value.

    >>> spread([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.0, high=3.0, runs=3)
    """
    if not values:
        raise ValueError("a spread needs at least one run")
    return Spread(statistics.median(values), min(values), max(values), len(values))
