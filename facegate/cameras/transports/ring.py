"""Frames in memory that the server maps: a slot for each frame in flight, and a request that only says which."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import numpy as np
from numpy.typing import NDArray

from facegate.cameras.transports.carrier import CarrierError
from facegate.cameras.transports.shared_file import START, SharedFile, exists, remove_orphans
from facegate_client.errors import DeadlineExceeded, FaceGateError, Unreachable
from facegate_client.images import ImageLike, SharedFrame, check_frame
from facegate_client.transport.base import Place, Region, Regions

_log = logging.getLogger("facegate_client")

REGISTRATION_S = 5.0
"""For the server to map a region, or to let go of one: milliseconds where it is well."""

PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Between attempts to have the server let go of a region: it refuses while one of its calls uses it."""


class SharedMemoryCarrier:
    """Holds `slots` frames at once; who carries one more waits. The first frame, and each larger one, makes the ring.

    A slot is given to another frame when its block is left, and not before: by then its calls have ended. A server that
    still works on a call that was given up may then read another frame; nobody hears of its answer.
    """

    def __init__(self, regions: Regions, admin_key: str | None, slots: int, *, or_raw: bool = False) -> None:
        """With `or_raw`, frames for which there is no memory are sent as they are."""
        self._regions = regions
        self._admin_key = admin_key
        self._slots = slots
        self._or_raw = or_raw
        self._vacant = asyncio.Semaphore(slots)
        self._making = asyncio.Lock()
        self._ring: _Ring | None = None
        self._told = False

    @asynccontextmanager
    async def carry(self, pixels: NDArray[np.uint8]) -> AsyncIterator[ImageLike]:
        """See Carrier. Raises BadImage, CarrierError where /dev/shm is full, and the server's FaceGateErrors."""
        check_frame(pixels)
        async with self._vacant:
            try:
                ring = await self._ring_for(pixels.nbytes)
            except CarrierError as error:
                if not self._or_raw:
                    raise
                self._tell_once(error)
                yield pixels
                return
            try:
                with ring.slot(pixels) as frame:
                    yield frame
            finally:
                if ring is not self._ring and ring.idle:
                    await self._forget(ring)

    async def close(self) -> None:
        """See Carrier."""
        ring, self._ring = self._ring, None
        if ring is not None:
            await self._forget(ring)

    def _tell_once(self, error: CarrierError) -> None:
        if not self._told:
            self._told = True
            _log.warning("a camera's frames are sent as raw pixels: %s", error)

    async def _ring_for(self, size: int) -> _Ring:
        async with self._making:
            before = self._ring
            if before is None or before.slot_size < size:
                self._ring = await self._new_ring(size)
                if before is not None and before.idle:
                    await self._forget(before)
            assert self._ring is not None  # noqa: S101 - for mypy
            return self._ring

    async def _new_ring(self, size: int) -> _Ring:
        ring = _Ring(self._slots, size)
        try:
            with suppress(Unreachable, DeadlineExceeded):  # the calls find that out, too, and tell it when it is back
                await self._regions.register(ring.region, self._admin_key, REGISTRATION_S)
        except BaseException:
            ring.file.remove()
            raise
        return ring

    async def _forget(self, ring: _Ring) -> None:
        ring.file.remove()
        await _let_go(self._regions, ring.region.name, self._admin_key)


class _Ring:
    """`slots` slots of `slot_size` bytes."""

    def __init__(self, slots: int, slot_size: int) -> None:
        self.slot_size = slot_size
        self.file = _file(slots * slot_size)
        self.region = Region(self.file.name, self.file.key, self.file.size)
        self._vacant = list(range(slots))
        self._slots = slots

    @property
    def idle(self) -> bool:
        """No slot is in use."""
        return len(self._vacant) == self._slots

    @contextmanager
    def slot(self, pixels: NDArray[np.uint8]) -> Iterator[SharedFrame]:
        """`pixels` in a slot."""
        number = self._vacant.pop()
        try:
            offset = number * self.slot_size
            held = self.file.bytes[offset : offset + pixels.nbytes].reshape(pixels.shape)
            # Not in a thread, where it would go on after a cancellation, into a slot that is another frame's by then.
            np.copyto(held, pixels)
            yield SharedFrame(held, Place(self.region.name, offset))
        finally:
            self._vacant.append(number)


async def try_out(regions: Regions, admin_key: str | None) -> None:
    """Frees what killed processes have left, here and in the server. Raises FaceGateError where it takes no memory.

    The server has mapped a file of this process's, so that its keys are names of this /dev/shm.
    """
    remove_orphans()
    file = _file(1)
    try:
        await regions.register(Region(file.name, file.key, file.size), admin_key, REGISTRATION_S)
    finally:
        file.remove()
    for region in await regions.listed(admin_key, REGISTRATION_S):
        if region.name.startswith(START) and not exists(region.key):
            await _let_go(regions, region.name, admin_key)


async def _let_go(regions: Regions, name: str, admin_key: str | None) -> None:
    for pause in (0.0, *PAUSES_S):
        await asyncio.sleep(pause)
        try:
            return await regions.unregister(name, admin_key, REGISTRATION_S)
        except (Unreachable, DeadlineExceeded):  # a server that has ended has let go of it
            return None
        except FaceGateError:  # it still reads the frame of a call that was given up, or whose caller was killed
            continue
    return None  # the next run frees it


def _file(size: int) -> SharedFile:
    try:
        return SharedFile(size)
    except OSError as error:
        raise CarrierError(
            f"no {size / 2**20:.1f} MiB of shared memory: {error.strerror}; give /dev/shm more, or carry frames raw"
        ) from error
