"""Triton's regions in /dev/shm: named after the process that watches, so that leftovers can be removed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil

REGIONS = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lives on Linux
_NAME = re.compile(r"facegate-(\d+)-")


def prefix() -> str:
    """The start of the names of all regions of this process's Triton."""
    return f"facegate-{os.getpid()}-"


def remove_own() -> None:
    """Remove the regions of this process's Triton, which must not be running."""
    _remove({os.getpid()})


def remove_leftovers() -> None:
    """Remove the regions whose watching process is gone."""
    owners = {int(match[1]) for path in REGIONS.glob("facegate-*") if (match := _NAME.match(path.name))}
    _remove({owner for owner in owners if not psutil.pid_exists(owner)})


def _remove(owners: set[int]) -> None:
    for owner in owners:
        for path in REGIONS.glob(f"facegate-{owner}-*"):
            path.unlink(missing_ok=True)
