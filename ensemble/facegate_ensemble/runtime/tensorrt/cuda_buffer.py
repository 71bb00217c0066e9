"""A tensor's memory on both sides of the bus."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class CudaBuffer:
    """Room for one tensor's full batch, page-locked on the host (so that copies need no second one) and on the GPU."""

    def __init__(self, cuda: Any, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Take it, zeroed on the host, in the current context; `cuda` is pycuda.driver."""
        self._cuda = cuda
        self.host: NDArray[Any] = cuda.pagelocked_empty(shape, dtype)
        self._locked: Any = self.host.base
        try:
            self._device = cuda.mem_alloc(self.host.nbytes)
        except cuda.Error:
            self._locked.free()
            raise
        self.host[:] = np.zeros((), dtype)

    @property
    def address(self) -> int:
        """On the GPU."""
        return int(self._device)

    def upload(self, rows: int, stream: Any) -> None:
        """Enqueue the copy of the first `rows` to the GPU."""
        self._cuda.memcpy_htod_async(self._device, self.host[:rows], stream)

    def download(self, rows: int, stream: Any) -> None:
        """Enqueue the copy of the first `rows` from the GPU."""
        self._cuda.memcpy_dtoh_async(self.host[:rows], self._device, stream)

    def close(self) -> None:
        """Give both back, in the context it was taken in. Nothing may be using them."""
        self._device.free()
        self._locked.free()
