"""What a source tells while it is read."""

from __future__ import annotations

from typing import Protocol


class SourceNotices(Protocol):
    """Called by the thread that reads the source's frames. Texts are one line and hold no password."""

    def lost(self, reason: str) -> None:
        """A live source gives no frames (or none yet) and is tried again and again; once for each outage.

        `reason` reads on after "is lost: " as after "is not there yet: ".
        """

    def back(self) -> None:
        """It gives frames again."""

    def warned(self, what: str) -> None:
        """Reports a warning about a source that can be read."""

    def skipped(self, what: str) -> None:
        """Part of a source cannot be decoded and is left out; `what` says which part, not whose."""
