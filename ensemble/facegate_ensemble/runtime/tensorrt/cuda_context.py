"""The GPU through PyCUDA, in the context that TensorRT uses too."""

from __future__ import annotations

import importlib
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from facegate_ensemble.runtime.inference_error import reason
from facegate_ensemble.runtime.tensorrt.cuda_driver import CudaError, require_gpu


class CudaContext:
    """A GPU's primary context: the one of CUDA's runtime API, hence TensorRT's, for every thread of the process.

    It is retained once and until the process ends: PyCUDA can give it back only in the thread that retained it, and
    leaves it current there.
    """

    def __init__(self, device: int) -> None:
        """`device` counts the GPUs that CUDA_VISIBLE_DEVICES shows, from 0. Raises CudaError, one line."""
        require_gpu()
        self._cuda = _pycuda()
        try:
            self._cuda.init()
            self._context = self._cuda.Device(device).retain_primary_context()
        except self._cuda.Error as error:
            raise CudaError(f"GPU {device} cannot be used: {reason(error)}") from None
        # Left to its destructor, PyCUDA 2026.1 detaches a primary context as if it had made it. At the end of a process
        # finalizers run last made first, hence this one after those of all sessions.
        weakref.finalize(self, self._context.detach)

    @contextmanager
    def current(self) -> Iterator[Any]:
        """pycuda.driver, with this context current in the calling thread for as long."""
        self._context.push()
        try:
            yield self._cuda
        finally:
            self._context.pop()


_contexts: dict[int, CudaContext] = {}
_one_at_a_time = threading.Lock()


def primary_context(device: int) -> CudaContext:
    """The process's one CudaContext of a GPU, whichever threads ask for it first. Raises CudaError."""
    with _one_at_a_time:
        if device not in _contexts:
            _contexts[device] = CudaContext(device)
        return _contexts[device]


def _pycuda() -> Any:
    try:
        return importlib.import_module("pycuda.driver")
    except ModuleNotFoundError:
        raise CudaError("PyCUDA is not installed, and it has no wheel: docs/pycuda.md says how to build it") from None
    except ImportError as error:
        raise CudaError(f"PyCUDA cannot be loaded ({reason(error)}): build it again as docs/pycuda.md says") from None
