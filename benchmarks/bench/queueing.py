"""What a queue makes of requests that arrive regardless of each other, simulated: one line, `servers` who serve it.

It tells how much of a high percentile under Poisson arrival a server that gives each request one core would have: of
requests that arrive together, all but the first few wait for a core.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence


def sojourns(arrivals: Iterable[float], servers: int, service: Callable[[], float]) -> list[float]:
    """How long each of `arrivals` (ascending) is in the system, first come first served, each served by one of
    `servers` for as long as `service` says."""
    free_at = [0.0] * servers
    times = []
    for arrival in arrivals:
        done = max(arrival, free_at[0]) + service()
        heapq.heapreplace(free_at, done)
        times.append(done - arrival)
    return times


def of_cores(arrivals: Sequence[float], throughput: float, servers: int, since: float) -> list[float]:
    """A server that answers `throughput` requests a second at saturation, asked at `arrivals`, as M/D/c: each of its
    `servers` cores takes one request at a time and needs the same time for each, servers / throughput. In seconds, for
    each of the requests that arrive at `since` or later."""
    seconds = servers / throughput
    times = sojourns(arrivals, servers, lambda: seconds)
    return [time for arrival, time in zip(arrivals, times, strict=True) if arrival >= since]
