"""A permit is taken before work begins; who cannot have one soon is told so at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from facegate_client.contract import Code
from facegate_ensemble.errors import RequestError
from facegate_ensemble.stage_timers import QUEUE, stage


class Admission:
    """At most `permits` requests are worked on, at most `queue_size` wait, each at most `queue_seconds`.

    `in_use` and `waiting` say how many are and do now.
    """

    def __init__(self, permits: int, queue_size: int, queue_seconds: float) -> None:
        self.permits = permits
        self.in_use = self.waiting = 0
        self._free = asyncio.Semaphore(permits)
        self._queue_size = queue_size
        self._queue_seconds = queue_seconds

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """Holds a permit. Raises RequestError RESOURCE_EXHAUSTED when none can be had."""
        if self._free.locked() and self.waiting >= self._queue_size:
            raise RequestError(Code.RESOURCE_EXHAUSTED, f"{self.waiting} requests are waiting already; try again later")
        self.waiting += 1
        try:
            if self._free.locked():
                with stage(QUEUE):
                    await asyncio.wait_for(self._free.acquire(), self._queue_seconds)
            else:
                with stage(QUEUE):
                    await self._free.acquire()  # at once: before 3.12 wait_for would let others in between
        except asyncio.TimeoutError:
            raise RequestError(
                Code.RESOURCE_EXHAUSTED, f"no permit within {self._queue_seconds:g} s; try again later"
            ) from None
        finally:
            self.waiting -= 1
        self.in_use += 1
        try:
            yield
        finally:
            self.in_use -= 1
            self._free.release()
