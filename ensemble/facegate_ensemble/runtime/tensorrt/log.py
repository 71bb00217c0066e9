"""What TensorRT has to say, kept for whoever asked it instead of printed."""

from __future__ import annotations

import threading
import time
from collections import deque
from types import ModuleType
from typing import Any

LONGEST = 300
"""Characters of an error that are kept."""

_logs: dict[ModuleType, Any] = {}
_one_at_a_time = threading.Lock()


def log_of(library: ModuleType) -> Any:
    """The one logger of tensorrt or tensorrt_rtx, to build and to run with: much is sent through the first that the
    library was ever given.

    Its `first_error()` is the first error since the calling thread's `forget()`, in one line: of that thread, or else
    of the threads that TensorRT itself makes.
    """
    with _one_at_a_time:
        if library not in _logs:
            _logs[library] = _log(library)
        return _logs[library]


def _log(library: ModuleType) -> Any:
    class Log(library.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self._asker = threading.local()
            self._of_others: deque[tuple[float, str]] = deque(maxlen=32)

        def log(self, severity: Any, text: str) -> None:
            if severity not in (library.ILogger.Severity.INTERNAL_ERROR, library.ILogger.Severity.ERROR):
                return
            error = " ".join(text.split())[:LONGEST]
            if not hasattr(self._asker, "since"):
                self._of_others.append((time.monotonic(), error))
            elif not self._asker.first:
                self._asker.first = error

        def first_error(self) -> str:
            later = (error for when, error in tuple(self._of_others) if when >= self._asker.since)
            return self._asker.first or next(later, "it gives no reason")

        def forget(self) -> None:
            self._asker.since, self._asker.first = time.monotonic(), ""

    return Log()
