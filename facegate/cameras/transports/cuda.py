"""Frames in a GPU's memory that the server maps. It has not run on a GPU: tested is only how the library is called.

A server that crops faces on the CPU, as FaceGate's does, copies each frame back from the GPU: expect nothing of it
there. It is chosen by name alone.
"""

from __future__ import annotations

import asyncio
import importlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate.cameras.transports.carrier import CarrierError
from facegate.cameras.transports.ring import REGISTRATION_S
from facegate_client.errors import FaceGateError
from facegate_client.images import ImageLike, SharedFrame, check_frame
from facegate_client.transport.base import CudaRegion, Place, Regions

DEVICE = 0  # the first GPU that this process sees


def cuda_library() -> Any:
    """tritonclient.utils.cuda_shared_memory. Raises CarrierError where it cannot be imported."""
    try:
        return importlib.import_module("tritonclient.utils.cuda_shared_memory")
    except (ImportError, RuntimeError) as error:
        raise CarrierError("a GPU's shared memory takes a GPU and a package: pip install cuda-python") from error


class CudaCarrier:
    """Holds `slots` frames at once, each in a region of its own, as large as the largest frame that was in it."""

    def __init__(self, cuda: Any, regions: Regions, admin_key: str | None, slots: int) -> None:
        self._cuda = cuda
        self._regions = regions
        self._admin_key = admin_key
        self._vacant: asyncio.LifoQueue[tuple[CudaRegion, Any] | None] = asyncio.LifoQueue()
        for _ in range(slots):
            self._vacant.put_nowait(None)

    @asynccontextmanager
    async def carry(self, pixels: NDArray[np.uint8]) -> AsyncIterator[ImageLike]:
        """See Carrier. Raises BadImage, CarrierError where the GPU fails, and the server's FaceGateErrors."""
        check_frame(pixels)
        slot = await self._vacant.get()
        try:
            if slot is None or slot[0].size < pixels.nbytes:
                outgrown, slot = slot, None
                await self._forget(outgrown)
                slot = await self._new_slot(pixels.nbytes)
            self._call("set_shared_memory_region", slot[1], [pixels])
            yield SharedFrame(pixels, Place(slot[0].name, 0))
        finally:
            self._vacant.put_nowait(slot)

    async def close(self) -> None:
        """See Carrier."""
        for slot in [self._vacant.get_nowait() for _ in range(self._vacant.qsize())]:
            await self._forget(slot)
            self._vacant.put_nowait(None)

    async def _new_slot(self, size: int) -> tuple[CudaRegion, Any]:
        name = f"facegate-cuda-{secrets.token_hex(8)}"
        memory = self._call("create_shared_memory_region", name, size, DEVICE)
        try:
            region = CudaRegion(name, self._call("get_raw_handle", memory), DEVICE, size)
            await self._regions.register(region, self._admin_key, REGISTRATION_S)
        except BaseException:
            self._call("destroy_shared_memory_region", memory)
            raise
        return region, memory

    async def _forget(self, slot: tuple[CudaRegion, Any] | None) -> None:
        if slot is None:
            return
        region, memory = slot
        try:
            with suppress(FaceGateError):  # a server that has ended has let go of it
                await self._regions.unregister(region.name, self._admin_key, REGISTRATION_S)
        finally:
            self._call("destroy_shared_memory_region", memory)  # not before: the server must not map what is freed

    def _call(self, function: str, *arguments: Any) -> Any:
        try:
            return getattr(self._cuda, function)(*arguments)
        except self._cuda.CudaSharedMemoryException as error:
            raise CarrierError(f"a GPU's shared memory: {error}; carry frames as shared-memory instead") from error
