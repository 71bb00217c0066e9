"""When a server that failed is asked again. A state machine that waits for nothing and calls nothing.

It stands open from the first failure that a call's own repetitions did not cure, until a probe finds the server ready.
Its lock is held for the change of a few numbers and never during a call, unlike pybreaker's, which lets one call
through at a time.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

FIRST_COOL_DOWN_S = 1.0
LONGEST_COOL_DOWN_S = 5.0


class Way(Enum):
    """What a call is to do. PROBE: as LOCAL, and see to it that the server is probed and `probed` told."""

    SERVER = "server"
    LOCAL = "local"
    PROBE = "probe"


@dataclass(frozen=True, slots=True)
class Turn:
    """One call's way. `outages`: how many there had been when it set out, so that old news changes nothing."""

    way: Way
    outages: int


class Breaker:
    """Thread-safe. The cool-down doubles with each outage or failed probe until an answer has come; jittered."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self._clock, self._jitter = clock, jitter
        self._lock = threading.Lock()
        self._outages = 0
        self._open = self._probing = False
        self._cool_down_s = FIRST_COOL_DOWN_S
        self._probe_at = 0.0

    def turn(self) -> Turn:
        """The way of a call that begins now. PROBE goes to one at a time."""
        with self._lock:
            if not self._open:
                return Turn(Way.SERVER, self._outages)
            if self._probing or self._clock() < self._probe_at:
                return Turn(Way.LOCAL, self._outages)
            self._probing = True
            return Turn(Way.PROBE, self._outages)

    def answered(self, turn: Turn) -> None:
        """The server answered the call."""
        with self._lock:
            if turn.outages == self._outages and not self._open:
                self._cool_down_s = FIRST_COOL_DOWN_S

    def failed(self, turn: Turn) -> bool:
        """The server did not; true where this is what opened the breaker."""
        with self._lock:
            if self._open or turn.outages != self._outages:
                return False
            self._open = True
            self._outages += 1
            self._cool_down()
            return True

    def probed(self, *, ready: bool) -> None:
        """The end of the probe that PROBE asked for; where `ready`, the next calls go to the server."""
        with self._lock:
            self._probing = False
            self._open = not ready
            if self._open:
                self._cool_down()

    def _cool_down(self) -> None:
        self._probe_at = self._clock() + self._cool_down_s * (1 + self._jitter()) / 2
        self._cool_down_s = min(2 * self._cool_down_s, LONGEST_COOL_DOWN_S)
