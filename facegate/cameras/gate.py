"""How many frames are with the server at once, of all cameras together."""

from __future__ import annotations

import asyncio
import random
from collections import deque

FIRST_REST_S, LONGEST_REST_S = 0.05, 2.0
"""Full jitter: a rest after a refusal is random, up to a bound that doubles with each refusal in a row."""

CUT_EVERY_S = 1.0
"""Refusals within this time are of calls that were sent before the first of them was heard: they count as one."""


class Gate:
    """Permits, given first come, first served. A camera asks for one at a time, so that cameras take turns.

    The number of permits halves when the server refuses and grows by one for as many answers as there are permits
    (additive increase, multiplicative decrease: Chiu and Jain 1989), so that it finds what the server has room for. At
    least one is left. For the tasks of one event loop.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._refusals = 0
        self._cut_at = float("-inf")

    @property
    def limit(self) -> int:
        """The number of permits now."""
        return int(self._limit)

    async def acquire(self) -> None:
        """Waits for a permit."""
        if self._busy < self.limit and not self._waiting:
            self._busy += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._let_in()
            else:
                self.release()
            raise

    def release(self) -> None:
        """Gives a permit back."""
        self._busy -= 1
        self._let_in()

    def answered(self) -> None:
        """The server has answered: it has room."""
        self._refusals = 0
        self._limit = min(self._most, self._limit + 1 / self._limit)
        self._let_in()

    def refused(self) -> float:
        """The server is full or away: the seconds that the caller should rest, with its permit, before it goes on."""
        now = asyncio.get_running_loop().time()
        if now - self._cut_at >= CUT_EVERY_S:
            self._cut_at = now
            self._refusals += 1
            self._limit = max(1.0, self._limit / 2)
        bound = min(LONGEST_REST_S, FIRST_REST_S * 2.0 ** min(self._refusals, 10))
        return random.uniform(0, bound)  # noqa: S311 - no secret

    def _let_in(self) -> None:
        while self._waiting and self._busy < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._busy += 1
                turn.set_result(None)
