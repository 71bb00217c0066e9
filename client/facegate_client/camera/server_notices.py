"""What the person at the terminal is told of the server: a line when something goes wrong, not one for each frame."""

from __future__ import annotations

import time
from collections.abc import Callable

from facegate_client.errors import DeadlineExceeded, Overloaded, Unreachable

AGAIN_S = 60.0
"""A trouble that lasts is told of as often as this."""


class ServerNotices:
    """Of all cameras together. For the event loop's thread."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: dict[tuple[str, str], float] = {}
        self._away = False

    def failed(self, camera: str, error: Exception) -> None:
        """A frame of `camera` has no result: the server refused it or is away, or it could not be sent."""
        if isinstance(error, Unreachable | DeadlineExceeded):
            self._away = True
            self._once("", "away", f"{error}; cameras go on without results until it answers")
        elif isinstance(error, Overloaded):
            self._once("", "full", f"the server is full ({error}); cameras send less")
        else:
            self._once(camera, type(error).__name__, f"{camera}: a frame without result: {error}")

    def answered(self) -> None:
        """The server has answered a frame."""
        if self._away:
            self._away = False
            self._said.pop(("", "away"), None)
            self._say("the server answers again")

    def _once(self, camera: str, kind: str, line: str) -> None:
        now = time.monotonic()
        if now - self._said.get((camera, kind), float("-inf")) >= AGAIN_S:
            self._said[camera, kind] = now
            self._say(" ".join(line.split()))
