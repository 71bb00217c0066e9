"""How often a caller may ask: a bucket of tokens each, by the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable


class Rate:
    """`per_second` requests of each name in the long run, and as many as a second's at once.

    Written out because it is a dozen lines that cost a microsecond: a library's moving window took 56 with the same
    outcome, kept every request's time, and went by the wall clock.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._most, self._clock = per_second, max(per_second, 1.0), clock
        self._tokens: dict[str, tuple[float, float]] = {}  # of a known caller's name: how many there were, and when

    def wait_s(self, name: str) -> float:
        """0 where a request may come now, which takes a token; else how long until one may."""
        now = self._clock()
        tokens, then = self._tokens.get(name, (self._most, now))
        tokens = min(self._most, tokens + (now - then) * self._per_second)
        if tokens < 1.0:
            return (1.0 - tokens) / self._per_second
        self._tokens[name] = tokens - 1.0, now
        return 0.0
