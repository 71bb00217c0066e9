"""The NVIDIA GPUs of this machine, by the CUDA driver's own account; no package is needed to ask."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76
"""CUdevice_attribute in CUDA's cuda.h."""

Driver = Callable[[str], ctypes.CDLL]


class NoGpuError(Exception):
    """No GPU can be used here. `str()` says why."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: its name, and its compute capability as "8.6"."""

    name: str
    compute_capability: str

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.compute_capability})"


def gpus(load: Driver = ctypes.CDLL) -> list[Gpu]:
    """Every GPU that CUDA offers this process, in its order, at least one. Raises NoGpuError."""
    try:
        cuda = load("libcuda.so.1")
    except OSError:
        raise NoGpuError("no NVIDIA driver on this machine") from None
    _asked(cuda, "cuInit", 0)
    count = ctypes.c_int()
    _asked(cuda, "cuDeviceGetCount", ctypes.byref(count))
    if not count.value:
        raise NoGpuError("the NVIDIA driver offers no GPU (is CUDA_VISIBLE_DEVICES empty?)")
    return [_gpu(cuda, ordinal) for ordinal in range(count.value)]


def _gpu(cuda: ctypes.CDLL, ordinal: int) -> Gpu:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    _asked(cuda, "cuDeviceGet", ctypes.byref(device), ordinal)
    _asked(cuda, "cuDeviceGetName", name, len(name), device)
    version = []
    for attribute in (_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR):
        value = ctypes.c_int()
        _asked(cuda, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        version.append(str(value.value))
    return Gpu(name.value.decode(errors="replace"), ".".join(version))


def _asked(cuda: ctypes.CDLL, function: str, *arguments: object) -> None:
    status = getattr(cuda, function)(*arguments)
    if status:
        raise NoGpuError(f"the NVIDIA driver is here, but {function} fails with CUDA error {status}")
