"""`synthetic:FOLDER`: a camera for who has none, of the faces in a folder's pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from facegate.cameras.sources.folder import Folder
from facegate.cameras.sources.notices import SourceNotices
from facegate.cameras.sources.spec import SourceSpec
from facegate.cameras.synthetic.source import Synthetic, scene_of
from facegate_client.async_client import AsyncFaceClient

FPS = 10.0
MOST_PICTURES = 20


class _Notices:
    """Reports skipped pictures. A folder is never lost."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name, self._say = name, say

    def lost(self, reason: str) -> None: ...

    def back(self) -> None: ...

    def warned(self, what: str) -> None: ...

    def skipped(self, what: str) -> None:
        self._say(f"{self._name}: {what}")


async def synthetic_feed(
    spec: SourceSpec, client: AsyncFaceClient, say: Callable[[str], None]
) -> Callable[[SourceNotices], Synthetic]:
    """Opens the scene; the server finds the faces. `say` gets a line for each picture that is skipped.

    Raises SourceError, FaceGateError, and ValueError on an option.
    """
    if spec.rotate or spec.roi or spec.sar:
        raise ValueError(f"{spec.name}: rotate, roi and sar are not for a synthetic source")
    fps = spec.fps or FPS
    folder = Folder(replace(spec, kind="path"), _Notices(spec.name, say))
    pictures: list[NDArray[np.uint8]] = await asyncio.to_thread(
        lambda: [frame.pixels for frame in islice(folder.frames(), MOST_PICTURES)]
    )
    found = [(pixels, await client.analyze(pixels, embeddings=False, max_faces=1)) for pixels in pictures]
    scene = scene_of(found, fps=fps)
    return lambda notices: Synthetic(scene, name=spec.name, live=True)
