"""What a source tells from its reading thread, brought to the event loop in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from facegate.cameras.records import CameraEvent
from facegate.cameras.stats import CameraStats

Event = tuple[CameraEvent, str | None]


class SourceEvents:
    """One camera's SourceNotices: counted, told to the person at the terminal, and queued for its recorder."""

    def __init__(self, stats: CameraStats, say: Callable[[str], None]) -> None:
        """To be made in the event loop that reads `queue`."""
        self.queue: asyncio.Queue[Event] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._stats = stats
        self._say = say

    def lost(self, reason: str) -> None:
        """See SourceNotices."""
        never = self._stats.snapshot().read == 0
        self._stats.lost()
        self._put("lost", reason)
        self._say(f"{self._stats.camera} is {'not there yet' if never else 'lost'}: {reason}; it is tried again")

    def back(self) -> None:
        """See SourceNotices."""
        self._stats.back()
        self._put("back", None)
        self._say(f"{self._stats.camera} is there")

    def warned(self, what: str) -> None:
        """See SourceNotices."""
        self._say(f"{self._stats.camera}: {what}")

    skipped = warned

    def _put(self, event: CameraEvent, reason: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
            self._loop.call_soon_threadsafe(self.queue.put_nowait, (event, reason))
