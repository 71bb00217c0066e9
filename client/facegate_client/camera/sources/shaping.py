"""From what a decoder gives to the frames of a source: timed, limited in rate, turned and cut."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate_client.camera.frame import Frame, SourceError
from facegate_client.camera.sources.media_clock import MediaClock, RateLimit
from facegate_client.camera.sources.spec import SourceSpec
from facegate_client.contract import size_error

if TYPE_CHECKING:
    from av import VideoFrame


class Shaping:
    """Makes one source's frames, over all its connections. For one thread at a time."""

    def __init__(self, spec: SourceSpec, live: bool) -> None:
        self.clock = MediaClock(live)
        self.count = 0
        self._limit = RateLimit(spec.fps)
        self._spec = spec

    def frame(self, decoded: VideoFrame, pts_s: float | None, step_s: float) -> Frame | None:
        """The next frame, None where the frame-rate limit leaves it out. Raises SourceError.

        `pts_s` is its presentation time in the stream, None where there is none; `step_s` the stream's usual step.
        """
        wall_s, read_s = time.time(), time.monotonic()
        media_s = self.clock.at(pts_s, read_s, step_s)
        if not self._limit.passes(media_s, step_s):
            return None
        check_size(decoded.width, decoded.height)
        pixels = np.asarray(decoded.reformat(format="bgr24").to_ndarray(), np.uint8)
        anticlockwise = round(decoded.rotation)  # what the file itself says
        pixels = turned_and_cut(pixels, self._spec.rotate - anticlockwise, self._spec.roi)
        self.count += 1
        return Frame(self.count - 1, media_s, wall_s, read_s, pixels)


def turned_and_cut(
    pixels: NDArray[np.uint8], clockwise: int, roi: tuple[int, int, int, int] | None
) -> NDArray[np.uint8]:
    """uint8 [height, width, 3], C-contiguous: turned by the nearest multiple of 90 degrees, then cut.

    `roi` is x, y, width, height; raises SourceError where it does not lie in the turned frame.
    """
    quarters = round(clockwise / 90) % 4
    if quarters:  # several times as fast as a copy of numpy's turned view
        turns = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)
        pixels = np.asarray(cv2.rotate(pixels, turns[quarters - 1]), np.uint8)
    if roi is not None:
        x, y, width, height = roi
        if x + width > pixels.shape[1] or y + height > pixels.shape[0]:
            given = ",".join(map(str, roi))
            raise SourceError(f"roi={given} does not lie in the frame of {pixels.shape[1]}x{pixels.shape[0]}")
        pixels = pixels[y : y + height, x : x + width]
    return np.ascontiguousarray(pixels)


def check_size(width: int, height: int) -> None:
    """Raises SourceError over the contract's limits."""
    if error := size_error(width, height):
        raise SourceError(error)
