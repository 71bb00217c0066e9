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


class OnnxSession:
    """One net. Its full batch is run when it is made, so that the memory it will ever need is taken then: ONNX Runtime
    keeps what it once had, and a batch larger than all before finds no room in it."""

    def __init__(self, path: Path) -> None:
        """Open the graph at `path`, whose one input is UINT8 [B, H, W, 3], on every core this process may run on."""
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
        self.full_batch: int = max(2, min(ROWS_AT_ONCE, PIXELS_AT_ONCE // (picture[0] * picture[1])))
        self.run(np.zeros((self.full_batch, *picture), dtype=np.uint8))

    def run(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Every output by name for UINT8 [B, H, W, 3], B at least 1, a full batch at a time."""
        starts = range(0, len(batch), self.full_batch)
        runs = [self._session.run(self._outputs, {self._input: batch[at : at + self.full_batch]}) for at in starts]
        if len(runs) == 1:
            return dict(zip(self._outputs, runs[0], strict=True))
        together = [np.concatenate(values) for values in zip(*runs, strict=True)]
        return dict(zip(self._outputs, together, strict=True))
