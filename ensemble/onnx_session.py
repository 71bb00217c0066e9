"""A served graph under ONNX Runtime on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ensemble.cores import cores

ROWS_AT_ONCE, PIXELS_AT_ONCE = 8, 1 << 20
"""The most that a run is given. On a CPU a larger batch is no faster: 32 rows took as long for each as 8 do, and twice
the memory."""

ONE_AT_A_TIME = "; if it takes one picture at a time, say max_batch = 1 in its table"
"""What a user can do about a net that fails on a batch."""


class NetFault(RuntimeError):
    """A net that does not do what it is asked. `str()` is one line that begins with its name."""

    @classmethod
    def run(cls, net: str, rows: int, error: Exception) -> NetFault:
        """That `net` failed on a batch of `rows`."""
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
        return cls(f"{net}: cannot be run on a batch of {rows}: {reason}{ONE_AT_A_TIME if rows > 1 else ''}")


class OnnxSession:
    """One net. Its full batch is run when it is made, so that the memory it will ever need is taken then: ONNX Runtime
    keeps what it once had, and a batch larger than all before finds no room in it."""

    def __init__(self, path: Path, max_batch: int) -> None:
        """Open the graph <net>/<version>/<file>, whose one input is UINT8 [B, H, W, 3], on every core there is.

        It is never given more than `max_batch` rows. Raises NetFault where it cannot be run on its full batch.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # several sessions share the cores
        options.enable_mem_pattern = False  # a plan of memory for each size of batch: half as much again, no faster
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (source,) = self._session.get_inputs()
        self._input: str = source.name
        self._outputs: list[str] = [output.name for output in self._session.get_outputs()]
        picture = source.shape[1:]
        rows = max(2, min(ROWS_AT_ONCE, PIXELS_AT_ONCE // (picture[0] * picture[1])))  # 2: a verification's images
        self.full_batch: int = min(rows, max_batch)
        quiet = onnxruntime.RunOptions()
        quiet.log_severity_level = 4  # what it has to say comes as an exception too
        batch = np.zeros((self.full_batch, *picture), dtype=np.uint8)
        try:
            self._session.run(self._outputs, {self._input: batch}, quiet)
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            raise NetFault.run(path.parents[1].name, self.full_batch, error) from None

    def run(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Every output by name for UINT8 [B, H, W, 3], B at least 1, a full batch at a time."""
        starts = range(0, len(batch), self.full_batch)
        runs = [self._session.run(self._outputs, {self._input: batch[at : at + self.full_batch]}) for at in starts]
        if len(runs) == 1:
            return dict(zip(self._outputs, runs[0], strict=True))
        together = [np.concatenate(values) for values in zip(*runs, strict=True)]
        return dict(zip(self._outputs, together, strict=True))
