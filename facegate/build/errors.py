"""What building engines fails with."""

from __future__ import annotations


class EngineError(RuntimeError):
    """An engine cannot be built, or is not fit to be installed or served. `str()` is one line that says what to do."""


class UnfitError(EngineError):
    """Nets that failed their gate, by name in `models`: they must not be served."""

    def __init__(self, reason: str, models: frozenset[str]) -> None:
        super().__init__(reason)
        self.models = models
