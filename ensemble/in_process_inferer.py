"""Nets run in this process, by whatever runs a session."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ensemble.inferer import Arrays, NetUnavailable


class Session(Protocol):
    """One net, open."""

    full_batch: int
    """The most rows that a run takes at once; more are cut into as many runs as they need."""

    def run(self, batch: NDArray[np.uint8]) -> Arrays:
        """Every output by name for UINT8 [B, H, W, 3], B at least 1."""
        ...


class InProcessInferer:
    """An Inferer over open sessions by the names of their nets."""

    def __init__(self, sessions: Mapping[str, Session]) -> None:
        self._sessions = sessions
        # A net runs one batch at a time: a run has every core, or the GPU's memory that its session took once.
        self._threads = {net: ThreadPoolExecutor(1, net) for net in sessions}

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


def served(repository: Path, nets: Iterable[str]) -> dict[str, Path]:
    """The first version's folder of each net that has a directory in `repository`: one without is not served."""
    return {net: repository / net / "1" for net in nets if (repository / net).is_dir()}
