"""One frame's detection asked for by tritonclient alone: by a call each, or all through one bidirectional stream."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.images import image_tensors
from facegate_client.transport.base import triton_inputs

Ask = Callable[[], Awaitable[None]]


@asynccontextmanager
async def unary(address: str, pixels: NDArray[np.uint8]) -> AsyncIterator[Ask]:
    """A call for each frame."""
    async with triton_aio.InferenceServerClient(address) as client:

        async def ask() -> None:
            _check(await client.infer(**_request(pixels)))

        yield ask


@asynccontextmanager
async def stream(address: str, pixels: NDArray[np.uint8]) -> AsyncIterator[Ask]:
    """One stream; an answer is known by its request's id."""
    outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    waiting: dict[str, asyncio.Future[None]] = {}
    numbers = itertools.count()

    async def requests() -> AsyncIterator[dict[str, Any]]:
        while True:
            yield await outgoing.get()

    async def read(answers: Any) -> None:
        async for result, error in answers:
            assert error is None, error
            _check(result)
            waiting.pop(result.get_response().id).set_result(None)

    async def ask() -> None:
        number = str(next(numbers))
        waiting[number] = asyncio.get_running_loop().create_future()
        outgoing.put_nowait({**_request(pixels), "request_id": number})
        await waiting[number]

    async with triton_aio.InferenceServerClient(address) as client:
        answers = client.stream_infer(requests())
        reading = asyncio.create_task(read(answers))
        yield ask
        answers.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def _request(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    inputs = triton_inputs(triton.InferInput, image_tensors(pixels))
    return {"model_name": contract.ANALYZE, "inputs": inputs, "parameters": {contract.WITH_EMBEDDINGS: False}}


def _check(result: Any) -> None:
    assert result.as_numpy("BOXES").shape == (1, 4)
