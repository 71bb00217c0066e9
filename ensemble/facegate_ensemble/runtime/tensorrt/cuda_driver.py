"""The CUDA driver itself: whether it is there, and the few calls that PyCUDA has no names for."""

from __future__ import annotations

import ctypes
import functools

LIBRARY = "libcuda.so.1"


class CudaError(RuntimeError):
    """What a GPU cannot do here. `str()` is one line."""


@functools.cache
def _driver() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        raise CudaError(
            f"there is no NVIDIA driver here ({LIBRARY} cannot be loaded): use a machine with an NVIDIA GPU and its "
            "driver (a container needs --gpus all), or serve with --backend onnxruntime"
        ) from None


def call(function: str, *arguments: object) -> None:
    """One call of the driver API. A handle must come as a ctypes value: a plain int would lose its upper half.

    Raises CudaError when there is no driver, or the call fails.
    """
    driver = _driver()
    status: int = getattr(driver, function)(*arguments)
    if status:
        name = ctypes.c_char_p()
        driver.cuGetErrorName(status, ctypes.byref(name))
        raise CudaError(f"{function}: {name.value.decode() if name.value else f'error {status}'}")


def require_gpu() -> None:
    """Raises CudaError, which says what is missing, where the driver or a GPU is not there."""
    try:
        call("cuInit", ctypes.c_uint(0))
    except CudaError as error:
        if "NO_DEVICE" in str(error):
            raise CudaError(
                f"the NVIDIA driver finds no GPU ({error}): is it hidden by CUDA_VISIBLE_DEVICES?"
            ) from None
        raise
