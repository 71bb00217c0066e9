"""Records as JSON Lines, to a file or to stdout."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TextIO

from facegate_client.camera.output import OutputError, PipeClosed
from facegate_client.camera.records import Record

STDOUT = "-"


class JsonLines:
    """An Output: one JSON object a line, ASCII, each line handed to the system at once.

    `place` is a file, whose former content is lost, or "-", stdout. Raises OutputError where it cannot be opened.
    """

    def __init__(self, place: str | Path) -> None:
        self._owned = str(place) != STDOUT
        self._name = str(place) if self._owned else "stdout"
        self._file: TextIO | None = None
        try:
            self._file = open(place, "w", encoding="ascii") if self._owned else sys.stdout  # noqa: SIM115 - see close
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            raise self._error("open", error) from error

    def write(self, record: Record) -> None:
        """See Output. Raises ValueError on a number that JSON has not, and PipeClosed."""
        if self._file is None:
            raise ValueError(f"{self._name} is closed")
        line = json.dumps(record.as_dict(), allow_nan=False)
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            raise self._broken(error) from error

    def close(self) -> None:
        """See Output."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if self._owned:
                file.close()
            else:
                file.flush()
        except OSError as error:
            raise self._broken(error) from error

    def _broken(self, error: OSError) -> OutputError:
        """The error to raise. What could not be written is let go: in the buffer it would only fail again."""
        file, self._file = self._file, None
        if file is not None:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), file.fileno())
            if self._owned:
                file.close()
        if isinstance(error, BrokenPipeError):
            return PipeClosed(f"who read {self._name} has gone")
        return self._error("write to", error)

    def _error(self, what: str, error: Exception) -> OutputError:
        return OutputError(f"cannot {what} {self._name}: {getattr(error, 'strerror', None) or error}")
