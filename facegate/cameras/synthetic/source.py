"""A source without a camera: faces from pictures, moved about. Needs OpenCV: the extra `draw`."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from facegate.cameras.frame import Frame, SourceError
from facegate.cameras.sources.folder import Folder
from facegate.cameras.sources.notices import SourceNotices
from facegate.cameras.sources.spec import SourceSpec
from facegate.cameras.synthetic.cut_faces import cut_head
from facegate.cameras.synthetic.scene import Actor, Path, Scene, Wave
from facegate_client.async_client import AsyncFaceClient
from facegate_client.results import Face

MOST_FACES = 6
"""In one scene of `scene_of`."""


class Synthetic:
    """A `Source` that plays a scene, `frames` frames of it or without end.

    `live`: paced by the clock, and it does not wait for who reads it: frames that nobody took in their time are left
    out. `Frame.index` is the scene's, whose truth is thus `scene.truth(frame.index)`, and has gaps there.
    """

    def __init__(self, scene: Scene, *, name: str = "synthetic", live: bool = False, frames: int | None = None) -> None:
        self.scene, self.name, self.live = scene, name, live
        self._count = frames
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """See Source.frames."""
        began = time.monotonic()
        index = 0
        while self._count is None or index < self._count:
            if self.live:
                index = max(index, math.floor((time.monotonic() - began) * self.scene.fps))
                if self._count is not None and index >= self._count:
                    return
                self._closed.wait(began + index / self.scene.fps - time.monotonic())
            if self._closed.is_set():
                return
            pixels = self.scene.render(index)
            yield Frame(index, index / self.scene.fps, time.time(), time.monotonic(), pixels)
            index += 1

    def close(self) -> None:
        """See Source.close."""
        self._closed.set()


def scene_of(
    pictures: Sequence[tuple[NDArray[np.uint8], Sequence[Face]]],
    *,
    seed: int = 0,
    size: tuple[int, int] = (640, 480),
    fps: float = 10.0,
) -> Scene:
    """A scene of the first, that is best-detected, face of each picture, MOST_FACES at most, chosen by `seed`.

    They move about, grow and shrink, blur, cross one another, leave and come back. They are heads without their
    surroundings (`cut_head`), mostly judged fake, as the photos that they are. Different pictures should show different
    people. Raises SourceError where no picture has a face.
    """
    found = [(pixels, faces[0]) for pixels, faces in pictures if faces]
    if not found:
        raise SourceError(f"synthetic: no face in {len(pictures)} pictures")
    random = np.random.default_rng(seed)
    chosen = sorted(random.permutation(len(found))[:MOST_FACES])
    actors = [Actor(cut_head(found[each][0], found[each][1].box), _wander(random, size)) for each in chosen]
    return Scene(size, fps, actors, seed=seed)


def _wander(random: np.random.Generator, size: tuple[int, int]) -> Path:
    """About the whole picture and a little beyond its sides, at a walk."""
    width, height = size
    tall = random.uniform(0.15, 0.25) * height
    return Path(
        x=Wave(width / 2, 0.6 * width, random.uniform(14, 22), random.uniform()),
        y=Wave(random.uniform(0.35, 0.65) * height, 0.1 * height, random.uniform(5, 9), random.uniform()),
        height=Wave(tall, 0.25 * tall, random.uniform(9, 15), random.uniform()),
        blur=Wave(0.0, 1.5, random.uniform(9, 15), random.uniform()),
    )


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
