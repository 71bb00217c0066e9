"""The messages of a gRPC call: as they come in, not too late, not too fast, none once the gateway stops; and out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from facegate.gateway.door import calls
from facegate.gateway.door.calls import Call
from facegate.gateway.door.door import Caller, Door
from facegate.gateway.errors import RETRY_S, Code, GatewayError

MESSAGE_SECONDS = 30.0
"""How long the message of a call may take to come."""

IDLE_SECONDS = 60.0
"""How long a stream may be silent while nothing of it is under way: it holds a place among the requests under way."""

Check = Callable[[bytes], None]

_NO_MORE = object()


async def only(messages: AsyncIterator[Any]) -> Any:
    """The message of a call that takes one. Raises GatewayError where it does not come."""
    try:
        message = await asyncio.wait_for(_next(messages), MESSAGE_SECONDS)
    except asyncio.TimeoutError:
        late = f"the request did not arrive within {MESSAGE_SECONDS:g} s"
        raise GatewayError(Code.DEADLINE_EXCEEDED, late) from None
    if message is _NO_MORE:
        raise GatewayError(Code.INVALID_ARGUMENT, "the call ended without a message")
    return message


class Paced:
    """A stream's messages at its caller's rate. When the gateway stops they end, and `check` says so afterwards.

    Each message has one answer, which the stream's server tells with `answered`. Raises GatewayError DEADLINE_EXCEEDED
    where no message comes for IDLE_SECONDS and all before it are answered.
    """

    def __init__(self, messages: AsyncIterator[Any], door: Door, caller: Caller, call: Call) -> None:
        self._messages, self._door, self._caller, self._call = messages, door, caller, call
        self._first, self._cut = True, False
        self._unanswered, self._silent_since = 0, 0.0

    def __aiter__(self) -> Paced:
        return self

    async def __anext__(self) -> Any:
        if not self._first:  # that one was counted when the call was let in
            await self._door.next_turn(self._caller)
        self._first, self._silent_since = False, time.monotonic()
        reading = asyncio.ensure_future(_next(self._messages))
        closing = asyncio.ensure_future(self._door.closing.wait())
        try:
            await self._either(reading, closing)
            self._cut = not reading.done()
            if self._cut or (message := reading.result()) is _NO_MORE:
                raise StopAsyncIteration
            self._call.message_came()
            self._unanswered += 1
            return message
        finally:
            reading.cancel()
            closing.cancel()

    def answered(self) -> None:
        """One message more has its answer."""
        self._unanswered -= 1
        self._silent_since = time.monotonic()

    def check(self) -> None:
        """Raises GatewayError UNAVAILABLE where more might have come: what did come is answered."""
        if self._cut:
            raise GatewayError(Code.UNAVAILABLE, "the gateway is stopping; go on elsewhere", None, RETRY_S)

    async def _either(self, *futures: asyncio.Future[Any]) -> None:
        while True:
            idle_s = 0.0 if self._unanswered else time.monotonic() - self._silent_since
            if idle_s >= IDLE_SECONDS:
                raise GatewayError(Code.DEADLINE_EXCEEDED, f"nothing came on this stream for {IDLE_SECONDS:g} s")
            done, _ = await asyncio.wait(futures, timeout=IDLE_SECONDS - idle_s, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return


def counted(deserialize: Callable[[bytes], Any], check: Check | None = None) -> Callable[[bytes], Any]:
    """The same, and what comes in is added to its call. Raises GatewayError for bytes that are no such message.

    `check` sees the bytes first, and raises GatewayErrors of its own.
    """

    def read(message: bytes) -> Any:
        call = calls.current()
        if call is not None:
            call.bytes_in += len(message)
        if check is not None:
            check(message)
        try:
            return deserialize(message)
        except Exception:
            raise GatewayError(Code.INVALID_ARGUMENT, "the bytes are no message of this method's kind") from None

    return read


async def write(context: Any, answer: Any) -> None:
    """Returns once the answer is on its way, for which a caller has to read; ends the call of one who has left."""
    try:
        await context.write(answer)
    except grpc.aio.InternalError:
        raise asyncio.CancelledError from None


async def _next(messages: AsyncIterator[Any]) -> Any:
    async for message in messages:
        return message
    return _NO_MORE
