"""Where results go, and what keeps them from getting there."""

from __future__ import annotations

from typing import Protocol

from facegate_client.camera.records import Record


class OutputError(Exception):
    """An output cannot be opened or written to. The message is one line and names it."""


class PipeClosed(OutputError):
    """Who read the results has gone (`faceclient camera ... | head`): the run should end, and that is no error."""


class Output(Protocol):
    """Takes the records in order. Both methods may block and raise OutputError; not from two threads at once."""

    def write(self, record: Record) -> None:
        """One record, on its way when this returns."""

    def close(self) -> None:
        """Finishes what was begun; any number of times, and no `write` after it."""
