"""The door for gRPC: every call passes it, whatever service it is for.

Each handler is served as one that takes a stream, which is the same on the wire: so a key and the limits are looked at
before the message is read, and a message that does not come is not waited for forever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

import grpc

from server.gateway.door import request_id
from server.gateway.door.calls import Call, Calls
from server.gateway.door.door import Caller, Door
from server.gateway.door.incidents import failure_for
from server.gateway.door.keys import shown_key
from server.gateway.door.messages import Paced, counted, only
from server.gateway.errors import Code, GatewayError
from server.gateway.grpc_errors import abort

Handler = Any  # grpc.RpcMethodHandler
Context = Any  # grpc.aio.ServicerContext
Guard = Callable[[Context], AbstractAsyncContextManager[tuple[Caller, Call]]]

WIRES = {"facegate.v1.FaceService": "grpc", "backend.Backend": "localai"}
"""What a call's log calls the wire, by its service."""

OPEN = frozenset(
    {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection"}
)
"""Services that need no key. Whatever is not named here needs one."""

MOST_OPEN = 64
"""Calls to these at a time, of everybody together: one that watches the health stays as long as its caller likes."""


class DoorInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Looks at keys and limits, gives request ids, logs and counts, and tells failures."""

    def __init__(self, door: Door, calls: Calls) -> None:
        self._door, self._calls = door, calls
        self._watching = 0

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Handler]], details: grpc.HandlerCallDetails
    ) -> Handler:
        """See grpc.aio.ServerInterceptor."""
        handler = await continuation(details)
        if handler is None:
            return None
        service, _, method = details.method.strip("/").rpartition("/")
        if service in OPEN:
            return _open(handler, self._place_to_watch)
        wire = WIRES.get(service, "grpc")
        return self._guarded(handler, lambda context: self._call(context, wire, method))

    def _guarded(self, handler: Handler, guard: Guard) -> Handler:
        async def unary(messages: AsyncIterator[Any], context: Context) -> Any:
            async with guard(context):
                return await handler.unary_unary(await only(messages), context)

        async def stream(messages: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            async with guard(context) as (caller, call):
                paced = Paced(messages, self._door, caller, call)
                async for answer in handler.stream_stream(paced, context):
                    yield answer
                paced.check()

        if handler.request_streaming is not handler.response_streaming:
            raise NotImplementedError("the door knows calls with one message each way, and streams both ways")
        make = grpc.stream_stream_rpc_method_handler if handler.stream_stream else grpc.stream_unary_rpc_method_handler
        behaviour = stream if handler.stream_stream else unary
        return make(behaviour, counted(handler.request_deserializer), handler.response_serializer)

    @asynccontextmanager
    async def _call(self, context: Context, wire: str, method: str) -> AsyncIterator[tuple[Caller, Call]]:
        own_id = request_id.begin(_text(context, request_id.HEADER))
        context.set_trailing_metadata(((request_id.HEADER, own_id),))
        with self._calls.begun(wire, method) as call:
            try:
                key = shown_key(_text(context, "authorization"), _text(context, "x-api-key"))
                caller = self._door.caller(key)
                call.caller = caller.name
                with self._door.admitted(caller):
                    yield caller, call
            except Exception as error:
                failure = failure_for(error)
                call.failed(failure)
                await abort(context, failure, own_id)

    @contextmanager
    def _place_to_watch(self) -> Iterator[None]:
        if self._watching >= MOST_OPEN:
            raise GatewayError(Code.RESOURCE_EXHAUSTED, f"{MOST_OPEN} checks of health are under way already")
        self._watching += 1
        try:
            yield
        finally:
            self._watching -= 1


def _open(handler: Handler, place: Callable[[], Any]) -> Handler:
    """A library's own handler, for everybody: not logged, not counted."""

    async def unary(messages: AsyncIterator[Any], context: Context) -> Any:
        try:
            with place():
                return await handler.unary_unary(await only(messages), context)
        except GatewayError as error:
            await abort(context, error.failure, "")

    async def stream(messages: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        try:
            with place():
                behaviour = handler.stream_stream or handler.unary_stream
                answers = behaviour(messages if handler.request_streaming else await only(messages), context)
                if hasattr(answers, "__aiter__"):
                    async for answer in answers:
                        yield answer
                else:  # writes its answers itself
                    await answers
        except GatewayError as error:
            await abort(context, error.failure, "")

    make = grpc.stream_stream_rpc_method_handler if handler.response_streaming else grpc.stream_unary_rpc_method_handler
    behaviour = stream if handler.response_streaming else unary
    return make(behaviour, handler.request_deserializer, handler.response_serializer)


def _text(context: Context, name: str) -> str | None:
    """The first value of a name in the caller's metadata."""
    return next(
        (value for key, value in context.invocation_metadata() or () if key == name and isinstance(value, str)), None
    )
