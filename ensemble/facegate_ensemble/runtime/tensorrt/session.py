"""An engine run by TensorRT on a GPU of this process, through PyCUDA."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import threading
import traceback
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from facegate_ensemble.runtime.inference_error import NetFault, reason
from facegate_ensemble.runtime.tensorrt.cuda_context import CudaContext, primary_context
from facegate_ensemble.runtime.tensorrt.cuda_driver import CudaError, call
from facegate_ensemble.runtime.tensorrt.engine import Engine, Execution, library_for

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


NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: no waiting for the default stream, which other nets' loading uses, and which may not be used
at all while a stream that waits for it is recorded."""

_log = logging.getLogger(__name__)


class TensorRtSession:
    """One net on one GPU. All memory is taken when it is made, and every batch size that has a CUDA graph is run then.

    Any thread may run it; runs go one after another, since they share that memory.
    """

    def __init__(self, path: Path, max_batch: int, device: int = 0) -> None:
        """Open the engine <net>/<version>/<file>.plan or .rtx on GPU number `device`.

        It is never given more than `max_batch` rows. Raises NetFault where it cannot be run.
        """
        self._net = path.parents[1].name
        library_for(path)  # before the GPU: without the package, a driver would not help
        try:
            self._context = primary_context(device)
        except CudaError as error:
            raise NetFault(f"{self._net}: {reason(error)}") from None
        self.full_batch = max_batch
        self._turn = threading.Lock()
        try:
            with self._context.current() as cuda, ExitStack() as opened:
                try:
                    self._runs = _Runs(cuda, path, max_batch, opened)
                except Exception as error:  # what its frames still hold must go while the context is current
                    traceback.clear_frames(error.__traceback__)
                    raise
                self._finalizer = weakref.finalize(self, _release, self._context, self._runs, opened.pop_all())
        except NetFault:
            raise
        except Exception as error:  # PyCUDA's exceptions are known only once it is imported
            raise NetFault(f"{self._net}: cannot be run on this GPU: {reason(error)}") from None

    def run(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Every output by name, FP32 [B, ...], for UINT8 [B, H, W, 3], B at least 1, a full batch at a time.

        The arrays are the caller's own. Raises ValueError for a batch of another type or shape, NetFault when the GPU
        or TensorRT fails or the session is closed.
        """
        source = self._runs.source
        if batch.dtype != np.uint8 or batch.shape[1:] != source.row or not len(batch):
            wanted = ", ".join(map(str, source.row))
            raise ValueError(f"{self._net} takes UINT8 [B, {wanted}], not {batch.dtype} {list(batch.shape)}")
        starts = range(0, len(batch), self.full_batch)
        with self._turn:
            if not self._finalizer.alive:
                raise NetFault(f"{self._net}: its session is closed")
            try:
                with self._context.current():
                    parts = [self._runs.run(batch[at : at + self.full_batch]) for at in starts]
            except Exception as error:
                raise NetFault(f"{self._net}: a run of {len(batch)} rows failed: {reason(error)}") from None
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def close(self) -> None:
        """Give everything back; happens by itself when the session or the process ends."""
        with self._turn:
            self._finalizer()


def graph_sizes(full_batch: int) -> list[int]:
    """The batch sizes that get a CUDA graph: powers of two, and the full batch."""
    return sorted({full_batch, *(1 << power for power in range(full_batch.bit_length()))})


class _Runs:
    """What a session runs with: each thing it takes goes upon `opened`, and is given back in the other order."""

    def __init__(self, cuda: Any, path: Path, max_batch: int, opened: ExitStack) -> None:
        self._net = path.parents[1].name
        self._opened = opened
        self._stream = cuda.Stream(NON_BLOCKING)
        self._done = cuda.Event(cuda.event_flags.BLOCKING_SYNC | cuda.event_flags.DISABLE_TIMING)
        opened.callback(self._drop_stream)
        self._engine = Engine(path, max_batch)
        opened.callback(self._engine.close)
        self.source = self._engine.input
        self._input = self._buffer(cuda, (max_batch, *self.source.row), np.uint8)
        self._outputs = {
            output: self._buffer(cuda, (max_batch, *output.row), np.float32) for output in self._engine.outputs
        }
        self._scratch = 0
        if not self._engine.captures_itself:
            scratch = cuda.mem_alloc(max(1, self._engine.scratch_bytes))
            opened.callback(scratch.free)
            self._scratch = int(scratch)
        self._plain = self._execution()
        self._graphs: dict[int, CudaGraph] = {}
        self._run_plain(max_batch)
        self._warm_up(max_batch)

    def run(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """One batch of at most a full one, in the current context."""
        rows = len(batch)
        self._input.host[:rows] = batch
        if rows in self._graphs:
            self._finish(self._graphs[rows].launch)
        else:
            self._run_plain(rows)
        return {output.name: buffer.host[:rows].copy() for output, buffer in self._outputs.items()}

    def drain(self) -> None:
        """Wait for whatever was enqueued; how it went is of no interest."""
        with contextlib.suppress(Exception):
            self._stream.synchronize()

    def _warm_up(self, max_batch: int) -> None:
        for rows in graph_sizes(max_batch):
            if self._engine.captures_itself:
                self._run_plain(rows)
                continue
            execution = self._execution()
            work = functools.partial(self._enqueue, execution, rows)
            self._finish(work)  # what TensorRT does only at the first run of a shape cannot be recorded
            try:
                graph = CudaGraph(self._stream.handle, work)
            except Exception as error:
                self._run_plain(rows)  # without graphs it is slower and no less right, unless it cannot be run at all
                _log.warning("%s: batches from %d on run without a CUDA graph: %s", self._net, rows, reason(error))
                return
            self._opened.callback(graph.close)
            self._graphs[rows] = graph

    def _run_plain(self, rows: int) -> None:
        self._finish(functools.partial(self._enqueue, self._plain, rows))

    def _enqueue(self, execution: Execution, rows: int) -> None:
        self._input.upload(rows, self._stream)
        execution.enqueue(self.source, rows, self._stream.handle)
        for buffer in self._outputs.values():
            buffer.download(rows, self._stream)

    def _finish(self, work: Callable[[], None]) -> None:
        """Give `work` to the stream and wait for it; where that fails, nothing of it is left to touch the buffers."""
        try:
            work()
            self._done.record(self._stream)
            self._done.synchronize()
        except BaseException:
            self.drain()
            raise

    def _buffer(self, cuda: Any, shape: tuple[int, ...], dtype: type) -> CudaBuffer:
        buffer = CudaBuffer(cuda, shape, dtype)
        self._opened.callback(buffer.close)
        return buffer

    def _execution(self) -> Execution:
        execution = self._engine.execution(self._scratch)
        self._opened.callback(execution.close)
        execution.bind(self.source, self._input.address)
        for output, buffer in self._outputs.items():
            execution.bind(output, buffer.address)
        return execution

    def _drop_stream(self) -> None:
        del self._done
        del self._stream


def _release(context: CudaContext, runs: _Runs, opened: ExitStack) -> None:
    with context.current():
        runs.drain()
        opened.close()
