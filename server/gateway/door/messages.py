"""The messages of a gRPC call, as they come in: not too late, not too fast, and none once the gateway stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from server.gateway.door import calls
from server.gateway.door.calls import Call
from server.gateway.door.door import Caller, Door
from server.gateway.errors import RETRY_S, Code, GatewayError

MESSAGE_SECONDS = 30.0
"""How long the message of a call may take to come."""

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
    """A stream's messages at its caller's rate. When the gateway stops they end, and `check` says so afterwards."""

    def __init__(self, messages: AsyncIterator[Any], door: Door, caller: Caller, call: Call) -> None:
        self._messages, self._door, self._caller, self._call = messages, door, caller, call
        self._first, self._cut = True, False

    def __aiter__(self) -> Paced:
        return self

    async def __anext__(self) -> Any:
        if not self._first:  # that one was counted when the call was let in
            await self._door.next_turn(self._caller)
        self._first = False
        reading = asyncio.ensure_future(_next(self._messages))
        closing = asyncio.ensure_future(self._door.closing.wait())
        try:
            await asyncio.wait({reading, closing}, return_when=asyncio.FIRST_COMPLETED)
            self._cut = not reading.done()
            if self._cut or (message := reading.result()) is _NO_MORE:
                raise StopAsyncIteration
            self._call.messages += 1
            return message
        finally:
            reading.cancel()
            closing.cancel()

    def check(self) -> None:
        """Raises GatewayError UNAVAILABLE where more might have come: what did come is answered."""
        if self._cut:
            raise GatewayError(Code.UNAVAILABLE, "the gateway is stopping; go on elsewhere", None, RETRY_S)


def counted(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """The same, and what comes in is added to its call. Raises GatewayError for bytes that are no such message."""

    def read(message: bytes) -> Any:
        call = calls.current()
        if call is not None:
            call.bytes_in += len(message)
        try:
            return deserialize(message)
        except Exception:
            raise GatewayError(Code.INVALID_ARGUMENT, "the bytes are no message of this method's kind") from None

    return read


async def _next(messages: AsyncIterator[Any]) -> Any:
    async for message in messages:
        return message
    return _NO_MORE
