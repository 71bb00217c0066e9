"""A file of /dev/shm that two processes map, and that is gone when its owner is.

tritonclient.utils.shared_memory makes such files too, upon Python's multiprocessing.shared_memory; not used here, since
- its files are not filled with pages when they are made: where /dev/shm is full (64 MB in a container, unless told
  otherwise), the first write to them kills the process with SIGBUS, not with an error;
- Python's resource tracker removes them when the process that made it is killed, with a warning on the terminal, and in
  Python before 3.13 also when a process that only opened them ends;
- nothing tells a file whose owner was killed from one in use. Here the owner holds a lock on it, flock(2), which ends
  with the process in any way, and is seen from other containers that share /dev/shm, where process numbers are not.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lives on Linux
START = "facegate-frames-"
"""Of every name. Not what Triton's newer releases refuse: triton_python_backend_shm_region_ (CVE-2025-23319)."""


class SharedFile:
    """`size` bytes, all zero, that this user alone may open. Raises OSError where there is no room for them."""

    def __init__(self, size: int) -> None:
        self.name, handle = _made()
        self.size = size
        self._remove = weakref.finalize(self, _removed, FOLDER / self.name, os.getpid())  # at exit, at the latest
        try:
            os.posix_fallocate(handle, 0, size)
            self.bytes: NDArray[np.uint8] = np.frombuffer(mmap.mmap(handle, size), np.uint8)  # keeps the lock, too
        except BaseException:
            self.remove()
            raise
        finally:
            os.close(handle)

    @property
    def key(self) -> str:
        """Its name for shm_open(3)."""
        return f"/{self.name}"

    def remove(self) -> None:
        """Takes the name away; the memory is free when nobody maps it any more."""
        self._remove()


def exists(key: str) -> bool:
    """Whether there is a file of this key."""
    return (FOLDER / key.lstrip("/")).exists()


def remove_orphans() -> None:
    """Removes the files whose owner is gone, as far as this user may."""
    for path in FOLDER.glob(f"{START}*"):
        with contextlib.suppress(OSError):  # its owner lives and has the lock; or it is somebody else's, or just gone
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)


def _made() -> tuple[str, int]:
    """The name and the open, locked file."""
    while True:
        name = START + secrets.token_hex(8)
        handle = os.open(FOLDER / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return name, handle
        os.close(handle)  # another process took it for an orphan, before it was locked


def _removed(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child ends, too
        path.unlink(missing_ok=True)
