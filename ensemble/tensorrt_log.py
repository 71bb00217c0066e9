"""What TensorRT has to say, kept for whoever asked it instead of printed."""

from __future__ import annotations

import functools
import threading
from types import ModuleType
from typing import Any

LONGEST = 300
"""Characters of an error that are kept."""


@functools.cache
def log_of(library: ModuleType) -> Any:
    """The one logger of tensorrt or tensorrt_rtx, which sends much through the first it was ever given.

    Its `first_error()` is the first error in the calling thread since `forget()`, in one line.
    """

    class Log(library.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self._thread = threading.local()

        def log(self, severity: Any, text: str) -> None:
            serious = severity in (library.ILogger.Severity.INTERNAL_ERROR, library.ILogger.Severity.ERROR)
            if serious and not getattr(self._thread, "first", ""):
                self._thread.first = " ".join(text.split())[:LONGEST]

        def first_error(self) -> str:
            return getattr(self._thread, "first", "") or "it gives no reason"

        def forget(self) -> None:
            self._thread.first = ""

    return Log()
