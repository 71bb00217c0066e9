"""Requests under way, as the server's watcher sees them from another process: it waits for them before it stops Triton.

Triton's own shutdown answers what a model holds, but refuses that model's requests to other models, so that under BLS
what is in flight would fail.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facegate_client.contract import STOPPING_REASON, Code
from facegate_ensemble.errors import RequestError

BUSY, STOPPING = "busy", "stopping"
"""Files in the folder that both sides know: one is locked while requests are under way, one is there once no more are
taken."""


class Drain:
    """One process's side. Used from one thread; without a folder nobody watches, and nothing is done."""

    def __init__(self, folder: str | None) -> None:
        self._stopping = Path(folder, STOPPING) if folder else None
        self._busy = Path(folder, BUSY).open("w") if folder else None  # noqa: SIM115 - as long as the process
        self._under_way = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """Holds the watcher. Raises RequestError RESOURCE_EXHAUSTED when it takes no more."""
        if self._busy is None or self._stopping is None:
            yield
            return
        if self._under_way == 0:
            fcntl.flock(self._busy, fcntl.LOCK_SH)
        self._under_way += 1
        try:
            if self._stopping.exists():
                raise RequestError(Code.RESOURCE_EXHAUSTED, f"{STOPPING_REASON}; ask again later")
            yield
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                fcntl.flock(self._busy, fcntl.LOCK_UN)
