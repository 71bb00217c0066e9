"""What a source gives, and what it raises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class SourceError(Exception):
    """A source cannot be opened, read or decoded. The message is one line, names the source and holds no password."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source.

    `index` counts the source's frames from 0, those alone that pass its frame-rate limit; `media_s` is the
    presentation time, seconds since the source's first frame; `wall_s` is Unix time and `read_s` time.monotonic(), both
    of the moment when the frame was read. `pixels` are uint8 [height, width, 3], BGR, C-contiguous, turned and cut as
    the source was told.
    """

    index: int
    media_s: float
    wall_s: float
    read_s: float
    pixels: NDArray[np.uint8]


class Source(Protocol):
    """Where frames come from. `live`: it does not wait for who reads it.

    `name` is the camera's in all results, without credentials.
    """

    name: str
    live: bool

    def frames(self) -> Iterator[Frame]:
        """The frames in order, each once; blocks for them. To be read by one thread, once. Raises SourceError."""

    def close(self) -> None:
        """Ends `frames` soon, from any thread, any number of times; `frames` itself frees what it has opened."""
