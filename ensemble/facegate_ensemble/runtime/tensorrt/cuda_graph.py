"""CUDA graphs: work that a stream was given once, launched again with one call. PyCUDA 2026.1 has none."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable

from facegate_ensemble.runtime.tensorrt.cuda_driver import CudaError, call

THREAD_LOCAL = ctypes.c_int(1)
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on allocating while this one captures."""


class CudaGraph:
    """What `work` gives a stream, recorded. Shapes and addresses are fixed; the memory's contents are not."""

    def __init__(self, stream: int, work: Callable[[], None]) -> None:
        """Record `work` on the idle `stream` (a CUstream) without running it; its context is the current one.

        Raises CudaError when the driver cannot record it, and whatever `work` raises.
        """
        self._stream = ctypes.c_void_p(stream)
        self._graph = ctypes.c_void_p()
        recorded = ctypes.c_void_p()
        call("cuStreamBeginCapture_v2", self._stream, THREAD_LOCAL)
        try:
            work()
        except BaseException:  # the stream must run again what it is given, and what went wrong is worth more than this
            with contextlib.suppress(CudaError):
                call("cuStreamEndCapture", self._stream, ctypes.byref(recorded))
                call("cuGraphDestroy", recorded)
            raise
        call("cuStreamEndCapture", self._stream, ctypes.byref(recorded))
        try:
            call("cuGraphInstantiateWithFlags", ctypes.byref(self._graph), recorded, ctypes.c_ulonglong(0))
        finally:
            call("cuGraphDestroy", recorded)

    def launch(self) -> None:
        """Run it on its stream, after what the stream has been given before. Raises CudaError."""
        call("cuGraphLaunch", self._graph, self._stream)

    def close(self) -> None:
        """Give its memory back. It must not be running."""
        call("cuGraphExecDestroy", self._graph)
