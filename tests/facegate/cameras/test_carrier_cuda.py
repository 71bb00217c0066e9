"""A GPU's shared memory, upon a fake of tritonclient's module: in which order it is asked for what."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType

import numpy as np
import pytest

from facegate.cameras.transports.carrier import CarrierError
from facegate.cameras.transports.choice import choose
from facegate.cameras.transports.cuda import CudaCarrier
from facegate_client import AsyncFaceClient, FaceGateError


class Gpu(ModuleType):
    """tritonclient.utils.cuda_shared_memory, and beside it the server's register; `told` is what both were asked."""

    class CudaSharedMemoryException(Exception):
        pass

    def __init__(self):
        super().__init__("fake")
        self.told, self.memory, self.refusal = [], {}, None

    def create_shared_memory_region(self, name, size, device):
        if size > 10_000:
            raise self.CudaSharedMemoryException("out of memory")
        self.told.append("create")
        self.memory[name] = bytearray(size)
        return name

    def get_raw_handle(self, name):
        return name.encode()

    def set_shared_memory_region(self, name, values):
        self.memory[name][: values[0].nbytes] = values[0].tobytes()

    def destroy_shared_memory_region(self, name):
        self.told.append("destroy")
        del self.memory[name]

    async def register(self, region, admin_key, timeout_s):
        self.told.append("register")
        assert (region.handle, region.size) == (region.name.encode(), len(self.memory[region.name]))
        if self.refusal:
            raise self.refusal

    async def unregister(self, name, admin_key, timeout_s):
        self.told.append("unregister")


def test_a_frame_lies_on_the_gpu_in_memory_that_is_freed_after_the_server_let_go_of_it():
    gpu = Gpu()

    async def run():
        carrier = CudaCarrier(gpu, gpu, None, 1)
        for pixels in (
            np.full((4, 5, 3), 7, np.uint8),
            np.full((2, 5, 3), 8, np.uint8),
            np.full((9, 5, 3), 9, np.uint8),
        ):
            async with carrier.carry(pixels) as frame:
                assert frame.place.offset == 0
                assert gpu.memory[frame.place.region][: pixels.nbytes] == pixels.tobytes()
        await carrier.close()

    asyncio.run(run())
    assert gpu.told == ["create", "register", "unregister", "destroy"] * 2
    assert not gpu.memory


@pytest.mark.parametrize(
    ("refusal", "height", "error"), [(FaceGateError("no"), 4, FaceGateError), (None, 4000, CarrierError)]
)
def test_a_refusal_leaves_no_memory_and_the_slot_free(refusal, height, error):
    gpu = Gpu()
    gpu.refusal = refusal

    async def run():
        carrier = CudaCarrier(gpu, gpu, None, 1)
        for _ in range(2):
            with pytest.raises(error):
                async with carrier.carry(np.zeros((height, 5, 3), np.uint8)):
                    pass

    asyncio.run(asyncio.wait_for(run(), 10))
    assert not gpu.memory


def test_without_the_package_it_is_one_line_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "tritonclient.utils.cuda_shared_memory", None)

    async def run():
        async with AsyncFaceClient("127.0.0.1:9") as client:
            await choose("cuda-shared-memory", client, in_flight=1)

    with pytest.raises(CarrierError, match="pip install cuda-python"):
        asyncio.run(run())
