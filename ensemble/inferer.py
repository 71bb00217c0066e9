"""The one thing that differs between the places where the pipeline runs: who runs a net."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")
Arrays = dict[str, NDArray[np.generic]]


class NetUnavailable(Exception):
    """A net that is not served where it was asked for. `str()` is its name."""


class Inferer(Protocol):
    """Runs nets by name."""

    def serves(self, net: str) -> bool:
        """Whether `net` can be asked for now."""
        ...

    def full_batch(self, net: str) -> int:
        """The most rows that `net` takes at once here."""
        ...

    async def infer(self, net: str, batch: NDArray[np.uint8]) -> Arrays:
        """Outputs by name for one batch of UINT8 [B, H, W, 3], B at most `full_batch(net)`.

        Raises NetUnavailable when the net is not served.
        """
        ...


async def together(*awaitables: Awaitable[Result]) -> list[Result]:
    """All results in order. A failure is raised when the others have ended too: no work goes on without its permit."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast("list[Result]", results)


async def infer_in_chunks(
    inferer: Inferer, net: str, batch: NDArray[np.uint8], outputs: tuple[str, ...]
) -> tuple[NDArray[np.float32], ...]:
    """`outputs` of `net` for any number of rows but none, in chunks of a full batch, row for row.

    The chunks go one after another, so that the nets serve other requests in between. Raises RuntimeError when the net
    does not answer a row for a row.
    """
    full_batch = inferer.full_batch(net)
    results = []
    for start in range(0, len(batch), full_batch):
        chunk = batch[start : start + full_batch]
        result = await inferer.infer(net, chunk)
        for name in outputs:
            if len(result[name]) != len(chunk):
                raise RuntimeError(f"{net} answered {len(result[name])} rows of {name} to a batch of {len(chunk)}")
        results.append(result)
    return tuple(
        np.concatenate([result[name] for result in results]).astype(np.float32, copy=False) for name in outputs
    )
