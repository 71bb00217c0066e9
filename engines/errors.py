"""What building engines fails with."""

from __future__ import annotations


class EngineError(RuntimeError):
    """An engine cannot be built, or is not fit to be installed or served. `str()` is one line that says what to do."""
