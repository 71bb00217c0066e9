"""A served graph under ONNX Runtime, on a CPU or a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import io
import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from facegate_ensemble.runtime.cores import cores
from facegate_ensemble.runtime.inference_error import NetFault, reason

ROWS_AT_ONCE, PIXELS_AT_ONCE = 4, 1 << 18
"""The most that a run on a CPU is given. There a larger batch is no faster: 32 rows took as long for each as 8 do, and
twice the memory; 8 of the small nets took longer than 4; and two pictures of 640 x 640, which outgrow the caches,
longer than one after the other."""

CPU, CUDA = "cpu", "cuda"
"""The providers: what of ONNX Runtime runs a net."""

GRAPH, CPU_GRAPH = "model.onnx", "cpu.onnx"
"""A net's files: its served graph, and where there is one, the same written for a CPU."""


def provider_asked_for() -> str:
    """The one that FACEGATE_PROVIDER names, or CPU. Raises ValueError, one line."""
    provider = os.environ.get("FACEGATE_PROVIDER", CPU)
    if provider not in (CPU, CUDA):
        raise ValueError(f"FACEGATE_PROVIDER is cpu or cuda, not {provider!r}")
    return provider


def graph_for(folder: Path, provider: str) -> Path:
    """The graph of the net in `folder` that `provider` is given."""
    written = folder / CPU_GRAPH
    return written if provider == CPU and written.is_file() else folder / GRAPH


class OnnxSession:
    """One net. Its full batch is run when it is made, so that the memory it will ever need is taken then: ONNX Runtime
    keeps what it once had, and a batch larger than all before finds no room in it."""

    def __init__(self, path: Path, max_batch: int, provider: str = CPU, device: int = 0, at_a_time: int = 1) -> None:
        """Open the graph <net>/<version>/<file>, whose one input is UINT8 [B, H, W, 3], for the CPU, or where
        `provider` is CUDA for GPU number `device`. `at_a_time` threads run it at a time and share the cores; more wait.

        It is never given more than `max_batch` rows. Raises NetFault where it cannot be run on its full batch, or not
        by that provider.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = math.ceil(cores() / at_a_time)
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # several sessions share the cores
        options.enable_mem_pattern = False  # a plan of memory for each size of batch: half as much again, no faster
        options.log_severity_level = 3
        net = path.parents[1].name
        if provider == CUDA:
            self._session = _on_cuda(path, options, device, net)
        else:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._turns = threading.BoundedSemaphore(at_a_time)  # more at a time would need more memory
        (source,) = self._session.get_inputs()
        self._input: str = source.name
        self._outputs: list[str] = [output.name for output in self._session.get_outputs()]
        picture = source.shape[1:]
        rows = max(1, min(ROWS_AT_ONCE, PIXELS_AT_ONCE // (picture[0] * picture[1])))
        self.full_batch: int = max_batch if provider == CUDA else min(rows, max_batch)
        quiet = onnxruntime.RunOptions()
        quiet.log_severity_level = 4  # what it has to say comes as an exception too
        batch = np.zeros((self.full_batch, *picture), dtype=np.uint8)
        all_there = threading.Barrier(at_a_time, timeout=60)

        def run_once(_: int) -> None:
            all_there.wait()
            self._session.run(self._outputs, {self._input: batch}, quiet)

        try:
            with ThreadPoolExecutor(at_a_time) as pool:
                list(pool.map(run_once, range(at_a_time)))
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            raise NetFault.run(net, self.full_batch, error) from None

    def run(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Every output by name for UINT8 [B, H, W, 3], B at least 1, a full batch at a time."""
        starts = range(0, len(batch), self.full_batch)
        with self._turns:
            runs = [self._session.run(self._outputs, {self._input: batch[at : at + self.full_batch]}) for at in starts]
        if len(runs) == 1:
            return dict(zip(self._outputs, runs[0], strict=True))
        together = [np.concatenate(values) for values in zip(*runs, strict=True)]
        return dict(zip(self._outputs, together, strict=True))


def _on_cuda(path: Path, options: onnxruntime.SessionOptions, device: int, net: str) -> onnxruntime.InferenceSession:
    """A session whose first provider is CUDA. ONNX Runtime itself would go on with the CPU, after a word on stderr."""
    wanted, why = "CUDAExecutionProvider", ""
    if wanted not in onnxruntime.get_available_providers():
        why = "this onnxruntime has no CUDA in it: install onnxruntime-gpu instead of onnxruntime"
    else:
        # A search for the fastest convolution would hold up the first batch of every size.
        settings = {"device_id": str(device), "cudnn_conv_algo_search": "HEURISTIC"}
        providers = [(wanted, settings), "CPUExecutionProvider"]  # the CPU for what CUDA has no kernel for
        try:
            with _quietly():
                onnxruntime.preload_dlls()  # CUDA's and cuDNN's libraries, where pip installed them
                session = onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
            if session.get_providers()[0] == wanted:
                return session
            why = _why_not()
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            why = reason(error)
    raise NetFault(f"{net}: ONNX Runtime {onnxruntime.__version__} cannot run it with CUDA: {why}")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what ONNX Runtime prints: a fault says it in one line."""
    onnxruntime.set_default_logger_severity(4)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        onnxruntime.set_default_logger_severity(2)  # its default: warnings


def _why_not() -> str:
    """What the system says of the provider's library: ONNX Runtime tells only its log why it did not load it."""
    folder = Path(onnxruntime.__file__).parent / "capi"
    try:
        # First what the provider takes its symbols from, or their absence is all that is ever said.
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / "libonnxruntime_providers_cuda.so"))
    except OSError as error:
        return reason(error)
    return "it gives no reason"
