"""Triton's regions in /dev/shm, named after the process that watches, so that leftovers can be removed.

A name says in which PID namespace the number counts: containers may share /dev/shm and not their processes.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import psutil

REGIONS = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lives on Linux
START = "triton_python_backend_shm_region_facegate-"
"""Triton's newer releases let no client register a region whose name starts like the first half (CVE-2025-23319)."""

_NAME = re.compile(START + r"(\d{1,20})-(\d{1,9})-")


def prefix() -> str:
    """The start of the names of all regions of this process's Triton."""
    return f"{START}{_namespace()}-{os.getpid()}-"


def make_private() -> None:
    """Let nobody but this user read the regions of this process's Triton: they hold callers' pictures."""
    for path in REGIONS.glob(f"{prefix()}*"):
        path.chmod(0o600)


def remove_own() -> None:
    """Remove the regions of this process's Triton, which must not be running."""
    for path in REGIONS.glob(f"{prefix()}*"):
        path.unlink(missing_ok=True)


def remove_leftovers() -> None:
    """Remove the regions whose watching process is gone, if it was one of this user's and in this namespace."""
    for path in REGIONS.glob(f"{START}*"):
        match = _NAME.match(path.name)
        if match and int(match[1]) == _namespace() and not psutil.pid_exists(int(match[2])):
            with contextlib.suppress(PermissionError):
                path.unlink(missing_ok=True)


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino
