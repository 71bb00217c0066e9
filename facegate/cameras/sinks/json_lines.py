"""Records as JSON Lines, to a file or to stdout."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from queue import SimpleQueue

from facegate.cameras.records import Record
from facegate.cameras.sinks.output import OutputError, PipeClosed

STDOUT = "-"
MOST = 10_000
"""Lines that may wait for a slow reader: some megabytes, and minutes of a camera."""

PATIENCE_S = 2.0
"""How long a reader may take nothing once the run is to end."""

_LOOK_EVERY_S = 0.02  # only where there is something to wait for


class JsonLines:
    """An Output: one JSON object a line, ASCII, each line handed to the system at once by a thread, in their order.

    `place` is a file, which is added to, or "-", stdout. Raises OutputError where it cannot be opened.
    """

    def __init__(self, place: str | Path) -> None:
        self._name = "stdout" if str(place) == STDOUT else str(place)
        try:
            self._file = _stdout() if str(place) == STDOUT else FileIO(place, "a")
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            raise self._error("open", error) from error
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._accepted = 0
        self._written = 0  # the thread's to change, as is the failure of a write
        self._failure: OutputError | None = None
        self._told = self._closed = False
        self._hurried = self._gave_up = False
        self._lost = 0
        # A daemon, and no buffer whose lock it might hold: the program can end while a write blocks.
        self._thread = threading.Thread(target=self._write_all, name=f"lines to {self._name}", daemon=True)
        self._thread.start()

    async def write(self, record: Record) -> None:
        """See Output. Raises ValueError on a number that JSON has not, and PipeClosed."""
        if self._closed:
            raise ValueError(f"{self._name} is closed")
        line = json.dumps(record.as_dict(), allow_nan=False) + "\n"
        if not self._gave_up and not await self._comes_true(self._has_room):
            self._gave_up = True
        if self._failure is not None:
            self._told = True
            raise self._failure
        if self._gave_up:  # no line after a gap; `close` tells of it
            self._lost += 1
            return
        self._accepted += 1
        self._lines.put(line.encode("ascii"))

    def hurry(self) -> None:
        """See Output."""
        self._hurried = True

    async def close(self) -> None:
        """See Output. Raises OutputError where lines are lost, unless `write` has said why."""
        if not self._closed:
            self._closed = True
            self._lines.put(None)
        if not self._gave_up:
            await self._comes_true(lambda: not self._thread.is_alive())
        lost = self._lost + self._accepted - self._written
        if self._failure is None and lost:
            self._failure = OutputError(f"{self._name} is not read; {lost} lines are lost")
        if self._failure is not None and not self._told:
            self._told = True
            raise self._failure

    async def _comes_true(self, condition: Callable[[], bool]) -> bool:
        """Waits for it; False where there is hurry and the reader has stopped reading."""
        written, since = self._written, time.monotonic()
        while not condition():
            if not self._hurried or self._written != written:
                written, since = self._written, time.monotonic()
            elif time.monotonic() - since > PATIENCE_S:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        return True

    def _has_room(self) -> bool:
        return self._failure is not None or self._accepted - self._written < MOST

    def _write_all(self) -> None:
        try:
            with self._file as file:
                while (line := self._lines.get()) is not None:
                    rest = memoryview(line)
                    while rest:
                        rest = rest[os.write(file.fileno(), rest) :]
                    self._written += 1
        except BrokenPipeError:
            self._failure = PipeClosed(f"who read {self._name} has gone")
        except OSError as error:
            self._failure = self._error("write to", error)

    def _error(self, what: str, error: Exception) -> OutputError:
        return OutputError(f"cannot {what} {self._name}: {getattr(error, 'strerror', None) or error}")


def _stdout() -> FileIO:
    sys.stdout.flush()
    return FileIO(sys.stdout.fileno(), "w", closefd=False)
