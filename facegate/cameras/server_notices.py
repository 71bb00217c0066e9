"""What the person at the terminal is told of the server: a line when something goes wrong, not one for each frame."""

from __future__ import annotations

import time
from collections.abc import Callable

from facegate_client.errors import DeadlineExceeded, Overloaded, Unreachable

AGAIN_S = 60.0
"""A trouble that lasts is told of as often as this."""

LATE_S = 1.0
"""Calls that failed before the server was back may be heard of until then: no outage begins."""


class ServerNotices:
    """Of all cameras together. For the event loop's thread."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: dict[tuple[str, str], float] = {}
        self._away = False

    def failed(self, camera: str, error: Exception) -> None:
        """A frame of `camera` has no result: the server refused it or is away, or it could not be sent."""
        if isinstance(error, Unreachable | DeadlineExceeded):
            said = self._once("", "away", f"{error}; cameras go on without results until it answers")
            self._away = self._away or said
        elif isinstance(error, Overloaded):
            self._once("", "full", f"the server is full ({error}); cameras send less")
        else:
            self._once(camera, type(error).__name__, f"{camera}: a frame without result: {error}")

    def answered(self) -> None:
        """The server has answered a frame."""
        if self._away:
            self._away = False
            self._said["", "away"] = time.monotonic() - AGAIN_S + LATE_S
            self._say("the server answers again")

    def _once(self, camera: str, kind: str, line: str) -> bool:
        """Whether it was said."""
        now = time.monotonic()
        if now - self._said.get((camera, kind), float("-inf")) < AGAIN_S:
            return False
        self._said[camera, kind] = now
        self._say(" ".join(line.split()))
        return True
