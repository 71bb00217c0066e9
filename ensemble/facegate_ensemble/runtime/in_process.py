"""Nets run in this process, by whatever runs a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facegate_ensemble.runtime.cores import cores
from facegate_ensemble.runtime.runner import Arrays, NetUnavailable
from facegate_ensemble.runtime.worker_pool import Lanes


class Session(Protocol):
    """One net, open. Threads may run it at the same time."""

    full_batch: int
    """The most rows that a run takes at once; more are cut into as many runs as they need."""

    def run(self, batch: NDArray[np.uint8]) -> Arrays:
        """Every output by name for UINT8 [B, H, W, 3], B at least 1."""
        ...


class InProcessInferer:
    """An Inferer over open sessions by the names of their nets."""

    spreads = False

    def __init__(self, sessions: Mapping[str, Session], lanes: int | None = None) -> None:
        """`lanes` is how many there are; None: as many as keep every net on a GPU busy, and every core decoding."""
        self.lanes = Lanes(cores() + len(sessions) if lanes is None else lanes, "lane")
        self._sessions = sessions

    def serves(self, net: str) -> bool:
        return net in self._sessions

    def chunk(self, net: str, rows: int) -> int:
        return self._session(net).full_batch

    def infer(self, net: str, batch: NDArray[np.uint8]) -> Arrays:
        return self._session(net).run(batch)

    def _session(self, net: str) -> Session:
        if not self.serves(net):
            raise NetUnavailable(net)
        return self._sessions[net]


def served(repository: Path, nets: Iterable[str]) -> dict[str, Path]:
    """The first version's folder of each net that has a directory in `repository`: one without is not served."""
    return {net: repository / net / "1" for net in nets if (repository / net).is_dir()}
