"""Access to a gallery's file: one process writes it, only its owner can read it, and it is the one at its path."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from pathlib import Path

from facegate.errors import ServeError

_held: set[tuple[int, int]] = set()
"""The files locked in this process, by device and inode."""


def lock(path: Path) -> int:
    """Make the file and its directory where they are not there, and keep every other process from writing it.

    `path` is resolved. Returns a descriptor to `unlock` when nothing of this process has the file open any more:
    closing any descriptor of a file gives up the locks that SQLite has on it
    (https://www.sqlite.org/howtocorrupt.html, 2.2). The lock is on the file itself, so that it holds by every name of
    it; flock and SQLite's own locks (fcntl) do not see each other on a local disk of Linux. Raises ServeError where
    another process has it, or it cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and _inode(path.stat()) in _held:  # not even opened, as closing would unlock it
            raise _taken(path)
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ServeError(f"{path}: cannot be a gallery's file: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(held).st_mode):
            raise ServeError(f"{path}: cannot be a gallery's file: a device, or a pipe")
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise _taken(path) from None
    except BaseException:
        os.close(held)
        raise
    _held.add(_inode(os.fstat(held)))
    return held


def unlock(held: int) -> None:
    """Let others write the file of `lock`."""
    _held.discard(_inode(os.fstat(held)))
    os.close(held)


def keep_private(path: Path) -> None:
    """Remove other users' access to a file, where there is one. What was changed, or could not be, is logged."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return
    if not mode & 0o077:
        return
    log = logging.getLogger(__name__)
    try:
        path.chmod(0o600)
        log.warning("%s: other users had access (mode %04o); changed to 0600", path, mode)
    except OSError as error:
        log.warning("%s: other users have access (mode %04o), and chmod 600 failed: %s", path, mode, error.strerror)


class Identity:
    """Which files stand at some paths now, to be compared with what stands there later."""

    def __init__(self, *paths: Path) -> None:
        self._files = {path: _at(path) for path in paths}

    def changed(self) -> Path | None:
        """The first path at which there is another file than then, or none."""
        return next((path for path, file in self._files.items() if _at(path) != file), None)

    def is_locked(self, path: Path, held: int) -> bool:
        """Whether the file at `path` is the one of `lock`."""
        return self._files[path] == _inode(os.fstat(held))


def _at(path: Path) -> tuple[int, int] | None:
    try:
        return _inode(path.stat())
    except OSError:  # no such file or directory, or no access to it any more
        return None


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _taken(path: Path) -> ServeError:
    return ServeError(f"{path}: another process has this gallery; several gateways share a PostgreSQL")
