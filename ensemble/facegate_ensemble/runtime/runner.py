"""The one thing that differs between the places where the pipeline runs: who runs a net, and on which threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facegate_ensemble.runtime.worker_pool import Lanes

Arrays = dict[str, NDArray[np.generic]]


class NetUnavailable(Exception):
    """A net that is not served where it was asked for. `str()` is its name."""


class Inferer(Protocol):
    """Runs nets by name."""

    lanes: Lanes
    """The threads that requests are worked on."""

    spreads: bool
    """Whether the chunks of a net are best run side by side. Where they are not, other requests get in between."""

    def serves(self, net: str) -> bool:
        """Whether `net` can be asked for now."""
        ...

    def chunk(self, net: str, rows: int) -> int:
        """How many of `rows` that are there are best run at a time, at least one."""
        ...

    def infer(self, net: str, batch: NDArray[np.uint8]) -> Arrays:
        """Outputs by name for one batch of UINT8 [B, H, W, 3].

        Raises NetUnavailable when the net is not served.
        """
        ...


def in_chunks(
    inferer: Inferer,
    net: str,
    rows: int,
    make: Callable[[slice], NDArray[np.uint8]],
    outputs: tuple[str, ...],
) -> tuple[NDArray[np.float32], ...]:
    """`outputs` of `net`, FP32, for any number of rows but none, row for row.

    `make` gives the batch of a chunk of the rows, UINT8 [n, H, W, 3], where and when it is run. Raises RuntimeError
    when the net does not answer a row for a row, and NetUnavailable when it is not served.
    """

    def run(chunk: slice) -> tuple[NDArray[np.float32], ...]:
        batch = make(chunk)
        result = inferer.infer(net, batch)
        for name in outputs:
            if len(result[name]) != len(batch):
                raise RuntimeError(f"{net} answered {len(result[name])} rows of {name} to a batch of {len(batch)}")
        return tuple(result[name].astype(np.float32, copy=False) for name in outputs)

    size = inferer.chunk(net, rows)
    works = [partial(run, slice(start, min(start + size, rows))) for start in range(0, rows, size)]
    results = inferer.lanes.together(works) if inferer.spreads else [work() for work in works]
    return tuple(np.concatenate(values) for values in zip(*results, strict=True))


def infer_in_chunks(
    inferer: Inferer, net: str, batch: NDArray[np.uint8], outputs: tuple[str, ...]
) -> tuple[NDArray[np.float32], ...]:
    """`in_chunks` for a batch that is there, UINT8 [B, H, W, 3], B at least 1."""
    return in_chunks(inferer, net, len(batch), batch.__getitem__, outputs)
