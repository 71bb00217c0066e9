"""Who comes in: a key's owner, no faster and no more at a time than agreed, and nobody once the gateway stops."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from facegate.gateway.door.keys import Keys
from facegate.gateway.errors import RETRY_S, Code, GatewayError


class Rate:
    """`per_second` requests of each name in the long run, and as many as a second's at once.

    Written out because it is a dozen lines that cost a microsecond: a library's moving window took 56 with the same
    outcome, kept every request's time, and went by the wall clock.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._most, self._clock = per_second, max(per_second, 1.0), clock
        self._tokens: dict[str, tuple[float, float]] = {}  # of a known caller's name: how many there were, and when

    def wait_s(self, name: str) -> float:
        """0 where a request may come now, which takes a token; else how long until one may."""
        now = self._clock()
        tokens, then = self._tokens.get(name, (self._most, now))
        tokens = min(self._most, tokens + (now - then) * self._per_second)
        if tokens < 1.0:
            return (1.0 - tokens) / self._per_second
        self._tokens[name] = tokens - 1.0, now
        return 0.0


ANONYMOUS = "anonymous"
"""Every caller's name where there are no keys."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key it was."""

    name: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests under way at a time, of all and of one caller, and requests a second of one caller, None for any."""

    concurrency: int
    concurrency_per_key: int
    rate_per_key: float | None


class Door:
    """Used from one event loop. What is refused is a GatewayError that says when to come back."""

    def __init__(self, keys: Keys | None, limits: Limits) -> None:
        """Without `keys` everybody is the same caller."""
        self._keys, self._limits = keys, limits
        self._rate = None if limits.rate_per_key is None else Rate(limits.rate_per_key)
        self._inside: Counter[str] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()
        self.closing = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Requests that are inside."""
        return self._inside.total()

    @property
    def has_keys(self) -> bool:
        """Whether callers have to show a key."""
        return self._keys is not None

    def caller(self, key: str | None) -> Caller:
        """Whose `key` it is. Raises GatewayError UNAUTHENTICATED, before anything of the caller's is counted."""
        if self._keys is None:
            return Caller(ANONYMOUS)
        if key is None:
            raise GatewayError(Code.UNAUTHENTICATED, "a key is needed: Authorization: Bearer KEY, or X-Api-Key: KEY")
        name = self._keys.name_of(key)
        if name is None:
            raise GatewayError(Code.UNAUTHENTICATED, "this key is not known here")
        return Caller(name)

    @contextmanager
    def admitted(self, caller: Caller) -> Iterator[None]:
        """While a request is answered. Raises GatewayError RESOURCE_EXHAUSTED or, when closing, UNAVAILABLE."""
        self._check(caller.name)
        self._inside[caller.name] += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._inside[caller.name] -= 1
            if not self._inside[caller.name]:
                del self._inside[caller.name]
            if not self._inside:
                self._idle.set()

    async def next_turn(self, caller: Caller) -> None:
        """Waits until the rate allows one more message of a stream: a stream that is too fast is read more slowly."""
        while self._rate is not None and (wait_s := self._rate.wait_s(caller.name)):
            await asyncio.sleep(wait_s)

    async def idle(self) -> None:
        """Returns once nobody is inside."""
        await self._idle.wait()

    def close(self) -> None:
        """Let nobody in any more."""
        self.closing.set()

    def _check(self, name: str) -> None:
        if self.closing.is_set():
            raise GatewayError(Code.UNAVAILABLE, "the gateway is stopping; ask another, or again later", None, RETRY_S)
        if self.in_flight >= self._limits.concurrency:
            raise _full(f"{self._limits.concurrency} requests are under way already")
        if self._inside[name] >= self._limits.concurrency_per_key:
            raise _full(f"{self._limits.concurrency_per_key} requests of this key are under way already")
        if self._rate is not None and (wait_s := self._rate.wait_s(name)):
            rate = f"{self._limits.rate_per_key:g} requests a second"
            raise GatewayError(
                Code.RESOURCE_EXHAUSTED, f"this key may make {rate}; slow down", None, math.ceil(wait_s * 100) / 100
            )


def _full(how: str) -> GatewayError:
    return GatewayError(Code.RESOURCE_EXHAUSTED, f"{how}; ask again shortly", None, RETRY_S)
