"""How much of the machine this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

MOST_LANES = 8
"""A YuNet's run on a picture of 640 x 640 takes 17 MB for each (measured), a larger detector's more."""

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Linux, cgroup v2, as a container sees its own: "<microseconds allowed> <in so many>", or "max <...>"."""


def cores() -> int:
    """Whole cores, at least one: those this process may run on, or fewer where a container's quota allows fewer."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text(encoding="ascii").split()
        return max(1, min(allowed, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return allowed


def lane_count() -> int:
    """How many requests a CPU works on at a time, each with as many of its cores.

    Two nets side by side are done sooner than one after the other with their threads in step, but each has the memory
    of a run: up to MOST_LANES, a core is a lane.
    """
    threads = math.ceil(cores() / MOST_LANES)
    return math.ceil(cores() / threads)
