"""How a frame gets to the server: what a camera needs of it, and the plainest way, its pixels as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facegate_client.images import ImageLike


class CarrierKind(str, Enum):
    """How frames get to the server. `auto` is the cheapest way that there is."""

    auto = "auto"
    jpeg = "jpeg"
    raw = "raw"
    shared_memory = "shared-memory"


class CarrierError(Exception):
    """Frames cannot be carried in the way that was asked for. One line: why, and what to do."""


class Carrier(Protocol):
    """One camera's. To be used by the tasks of one event loop."""

    def carry(self, pixels: NDArray[np.uint8]) -> AbstractAsyncContextManager[ImageLike]:
        """The image that stands for `pixels`, uint8 [height, width, 3], BGR, in any number of calls in the block.

        After the block it stands for nothing. Raises a FaceGateError, and CarrierError, where it cannot be made.
        """

    async def close(self) -> None:
        """Frees what it holds, here and in the server; once no block is open any more."""


class RawCarrier:
    """The pixels themselves, in every call: nothing to compute, height · width · 3 bytes to send."""

    @asynccontextmanager
    async def carry(self, pixels: NDArray[np.uint8]) -> AsyncIterator[ImageLike]:
        """See Carrier."""
        yield pixels

    async def close(self) -> None:
        """See Carrier."""
