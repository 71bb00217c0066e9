"""Nets run by ONNX Runtime in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.inferer import Arrays, NetUnavailable
from ensemble.onnx_session import OnnxSession
from ensemble.pack import Net


class OnnxInferer:
    """An Inferer over the served graphs of a repository, `<repository>/<net>/1/model.onnx`.

    A net without a directory there is not served; one whose directory has no readable graph, or one that cannot be run
    on its full batch, is a fault that is raised at once.
    """

    def __init__(self, repository: Path, nets: Mapping[str, Net]) -> None:
        present = [net for net in nets if (repository / net).is_dir()]
        self._sessions = {
            net: OnnxSession(repository / net / "1" / "model.onnx", nets[net].max_batch) for net in present
        }
        # A net runs one batch at a time: a run uses every core, and two at once would need twice the memory.
        self._threads = {net: ThreadPoolExecutor(1, net) for net in present}

    def serves(self, net: str) -> bool:
        return net in self._sessions

    def full_batch(self, net: str) -> int:
        if not self.serves(net):
            raise NetUnavailable(net)
        return self._sessions[net].full_batch

    async def infer(self, net: str, batch: NDArray[np.uint8]) -> Arrays:
        if not self.serves(net):
            raise NetUnavailable(net)
        return await asyncio.get_running_loop().run_in_executor(self._threads[net], self._sessions[net].run, batch)
