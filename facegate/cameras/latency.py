"""How long frames take: a histogram since the start, and quantiles and the rate of the last seconds."""

from __future__ import annotations

import bisect
import math
from collections import deque
from dataclasses import dataclass

# Seconds; the server's stage histogram has the same, so that the two can be laid side by side.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WINDOW_S = 10.0  # what a person calls "now", and long enough for a 95th percentile at 5 frames per second
_MOST = 2_048  # latencies kept, so that memory has a bound; faster than 200 a second, the window is shorter


@dataclass(frozen=True, slots=True)
class LatencySnapshot:
    """Seconds. `buckets` are counts up to each of BOUNDS and above them, not cumulative; `total_s` is their sum.

    `p50_s`, `p95_s` (nearest rank) and `per_second` are of the last ten seconds; the quantiles None without a frame.
    """

    buckets: tuple[int, ...]
    total_s: float
    p50_s: float | None
    p95_s: float | None
    per_second: float


class Latencies:
    """Times of frames, told one by one. Times are of one monotonic clock, seconds; not thread-safe."""

    def __init__(self, start: float) -> None:
        self._start = start
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._total_s = 0.0
        self._recent: deque[tuple[float, float]] = deque(maxlen=_MOST)

    def add(self, now: float, latency_s: float) -> None:
        """One frame was done at `now`, after `latency_s`."""
        self._buckets[bisect.bisect_left(BOUNDS, latency_s)] += 1
        self._total_s += latency_s
        self._recent.append((now, latency_s))

    def snapshot(self, now: float) -> LatencySnapshot:
        """As of `now`."""
        full = len(self._recent) == _MOST
        while self._recent and self._recent[0][0] <= now - _WINDOW_S:
            self._recent.popleft()
            full = False
        ordered = sorted(latency_s for _, latency_s in self._recent)
        since = self._recent[0][0] if full else max(self._start, now - _WINDOW_S)
        return LatencySnapshot(
            buckets=tuple(self._buckets),
            total_s=self._total_s,
            p50_s=_nearest_rank(ordered, 0.50),
            p95_s=_nearest_rank(ordered, 0.95),
            per_second=len(ordered) / max(now - since, 1.0),  # the first frames' rate is no thousand
        )


def _nearest_rank(ordered: list[float], part: float) -> float | None:
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else None
