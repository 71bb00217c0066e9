"""Where results go, and what keeps them from getting there."""

from __future__ import annotations

from typing import Protocol

from facegate.cameras.records import Record


class OutputError(Exception):
    """An output cannot be opened or written to. The message is one line and names it."""


class PipeClosed(OutputError):
    """Who read the results has gone (`facegate camera ... | head`): the run should end, and that is no error."""


class Output(Protocol):
    """Takes the records in order; for the tasks of one event loop, which it never blocks. Raises OutputError.

    What a write comes to may be told by a later `write`, or by `close`.
    """

    async def write(self, record: Record) -> None:
        """One record, on its way when this returns; waits where who reads them is far behind."""

    def hurry(self) -> None:
        """The run is to end: a reader who has stopped reading is waited for no longer than two seconds."""

    async def close(self) -> None:
        """Finishes what was begun; any number of times, and no `write` after it."""
