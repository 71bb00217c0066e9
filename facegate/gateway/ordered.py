"""Work on several things of a stream at a time, with the results in the stream's order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_order(
    items: AsyncIterator[Item], work: Callable[[Item], Coroutine[Any, Any, Result]], window: int
) -> AsyncGenerator[Result, None]:
    """`work` of each item, in the items' order.

    No more than `window` items have been taken whose results have not been, so that a slow taker slows the giver down
    and memory is bounded. What either raises is raised here. When this ends or is closed (aclose), nothing goes on.
    """
    free = asyncio.Semaphore(window)
    started: asyncio.Queue[asyncio.Task[Result] | None] = asyncio.Queue()
    under_way: set[asyncio.Task[Any]] = set()

    async def take() -> None:
        try:
            while True:
                await free.acquire()
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                task = asyncio.create_task(work(item))
                under_way.add(task)
                started.put_nowait(task)
        finally:
            started.put_nowait(None)

    taking = asyncio.create_task(take())
    under_way.add(taking)
    try:
        while (task := await started.get()) is not None:
            yield await task
            under_way.discard(task)
            free.release()
        await taking
    finally:
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
