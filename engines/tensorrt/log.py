"""TensorRT's own messages, kept for the one line that a user gets."""

from __future__ import annotations

from typing import Any


def collecting_log(trt: Any) -> Any:
    """A logger for `trt`'s objects whose `errors` are the messages of failures, in order. Warnings are dropped."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(" ".join(str(message).split()))

        @property
        def first(self) -> str:
            return self.errors[0][:300] if self.errors else "it gave no reason"

    return Log()
