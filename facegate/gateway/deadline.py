"""How long an answer may take."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from grpc.aio import ServicerContext

from facegate.gateway.errors import Code, GatewayError

_LEAST_S = 0.001  # a deadline that has just passed; 0 would be taken for none

Result = TypeVar("Result")


def seconds_for(context: ServicerContext, timeout_s: float) -> float:
    """Seconds until the caller of this gRPC call gives up, at most `timeout_s`."""
    left: float | None = context.time_remaining()
    return timeout_s if left is None else min(max(left, _LEAST_S), timeout_s)


async def within(timeout_s: float, work: Coroutine[Any, Any, Result]) -> Result:
    """What `work` comes to. Raises GatewayError DEADLINE_EXCEEDED after so many seconds.

    Work that is given up is cancelled, and its end not waited for: psycopg spends 10 s on that where PostgreSQL hangs.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            raise GatewayError(Code.DEADLINE_EXCEEDED, "no answer within the deadline")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_seen)


def _seen(task: asyncio.Task[Any]) -> None:
    """asyncio logs an error that nobody has asked for."""
    if not task.cancelled():
        task.exception()
