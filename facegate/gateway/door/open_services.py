"""gRPC's services that are for everybody, with or without a key: health and reflection."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc

from facegate.gateway.door.grpc_errors import abort
from facegate.gateway.door.incidents import failure_for
from facegate.gateway.door.messages import counted, only, write
from facegate.gateway.errors import Code, GatewayError

OPEN = frozenset(
    {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection"}
)
"""Services that need no key. Whatever is not named here needs one."""

MOST_OPEN = 64
"""Calls at a time to each method, of everybody together. Who watches stays as long as they like, and must not keep
others from a check."""


class OpenServices:
    """Their calls are neither logged nor counted."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()

    def served(self, handler: Any, method: str) -> Any:
        """A grpc.RpcMethodHandler for the same, with a place for each call until its answers are taken."""

        async def serve(messages: AsyncIterator[Any], context: Any) -> None:
            try:
                with self._place(method):
                    await _answer(handler, messages, context)
            except Exception as error:
                await abort(context, failure_for(error), "")

        return grpc.stream_stream_rpc_method_handler(
            serve, counted(handler.request_deserializer), handler.response_serializer
        )

    @contextmanager
    def _place(self, method: str) -> Iterator[None]:
        if self._under_way[method] >= MOST_OPEN:
            raise GatewayError(Code.RESOURCE_EXHAUSTED, f"{MOST_OPEN} calls of {method} are under way already")
        self._under_way[method] += 1
        try:
            yield
        finally:
            self._under_way[method] -= 1


async def _answer(handler: Any, messages: AsyncIterator[Any], context: Any) -> None:
    if handler.unary_unary:
        await write(context, await handler.unary_unary(await only(messages), context))
        return
    behaviour = handler.stream_stream or handler.unary_stream
    asked = messages if handler.request_streaming else await only(messages)
    async with aclosing(behaviour(asked, context)) as answers:
        async for answer in answers:
            await write(context, answer)
