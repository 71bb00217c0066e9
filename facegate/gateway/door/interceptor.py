"""The door for gRPC: every call passes it, whatever service it is for.

Each handler is served as one that takes a stream, which is the same on the wire: so a key and the limits are looked at
before the message is read, and a message that does not come is not waited for forever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf import descriptor_pool

from facegate.gateway.deadline import within
from facegate.gateway.door import request_id
from facegate.gateway.door.calls import Call, Calls
from facegate.gateway.door.door import Caller, Door
from facegate.gateway.door.grpc_errors import abort
from facegate.gateway.door.grpc_unknown import refuse_unread
from facegate.gateway.door.incidents import failure_for
from facegate.gateway.door.keys import shown_key
from facegate.gateway.door.messages import Check, Paced, counted, only, write
from facegate.gateway.door.open_services import OPEN, OpenServices
from facegate.gateway.errors import Failure

Handler = Any  # grpc.RpcMethodHandler
Context = Any  # grpc.aio.ServicerContext
Guard = Callable[[Context], AbstractAsyncContextManager[tuple[Caller, Call]]]

LOCALAI = "localai"
WIRES = {"facegate.v1.FaceService": "grpc", "backend.Backend": LOCALAI}
"""What a call's log calls the wire, by its service."""


class DoorInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Looks at keys and limits, gives request ids, logs and counts, and tells failures.

    `timeout_s` is the longest that a call with one message takes, from its message to its answer.
    """

    def __init__(self, door: Door, calls: Calls, timeout_s: float) -> None:
        self._door, self._calls, self._timeout_s = door, calls, timeout_s
        self._open = OpenServices()

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Handler]], details: grpc.HandlerCallDetails
    ) -> Handler:
        """See grpc.aio.ServerInterceptor."""
        handler = await continuation(details)
        if handler is None:
            return None
        service, _, method = details.method.strip("/").rpartition("/")
        if service in OPEN:
            return self._open.served(handler, method)
        wire = WIRES.get(service, "grpc")
        check = None
        if service in WIRES:
            kind = descriptor_pool.Default().FindServiceByName(service).methods_by_name[method].input_type
            # A LocalAI sends more than faces need.
            check = partial(refuse_unread, kind=kind, later_fields=wire == LOCALAI)
        return self._guarded(handler, lambda context: self._call(context, wire, method), check)

    def _guarded(self, handler: Handler, guard: Guard, check: Check | None) -> Handler:
        async def unary(messages: AsyncIterator[Any], context: Context) -> Any:
            async with guard(context):
                message = await only(messages)
                return await within(self._timeout_s, handler.unary_unary(message, context))

        async def stream(messages: AsyncIterator[Any], context: Context) -> None:
            async with guard(context) as (caller, call):
                paced = Paced(messages, self._door, caller, call)
                async with aclosing(handler.stream_stream(paced, context)) as answers:
                    async for answer in answers:
                        await write(context, answer)
                        paced.answered()
                paced.check()

        if handler.request_streaming is not handler.response_streaming:
            raise NotImplementedError("the door knows calls with one message each way, and streams both ways")
        make = grpc.stream_stream_rpc_method_handler if handler.stream_stream else grpc.stream_unary_rpc_method_handler
        behaviour = stream if handler.stream_stream else unary
        return make(behaviour, counted(handler.request_deserializer, check), handler.response_serializer)

    @asynccontextmanager
    async def _call(self, context: Context, wire: str, method: str) -> AsyncIterator[tuple[Caller, Call]]:
        own_id = request_id.begin(_text(context, request_id.HEADER))
        context.set_trailing_metadata(((request_id.HEADER, own_id),))
        failure: Failure | None = None
        with self._calls.begun(wire, method, _address(context)) as call:
            try:
                key = shown_key(_text(context, "authorization"), _text(context, "x-api-key"))
                caller = self._door.caller(key)
                call.caller = caller.name
                with self._door.admitted(caller):
                    yield caller, call
            except Exception as error:
                failure = failure_for(error)
                call.failed(failure)
        if failure is not None:
            await abort(context, failure, own_id)


def _address(context: Context) -> str:
    """The caller's IP address, of gRPC's ipv4:10.0.0.7:4711 or ipv6:%5B::1%5D:4711."""
    return unquote(context.peer()).partition(":")[2].rpartition(":")[0].strip("[]")


def _text(context: Context, name: str) -> str | None:
    """The first value of a name in the caller's metadata."""
    return next(
        (value for key, value in context.invocation_metadata() or () if key == name and isinstance(value, str)), None
    )
