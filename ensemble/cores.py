"""How much of the machine this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

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
