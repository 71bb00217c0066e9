"""From what a decoder gives to the frames of a source: timed, limited in rate, turned and cut."""

from __future__ import annotations

import math
import struct
import time
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.cameras.frame import Frame, SourceError
from facegate.cameras.sources.media_clock import MediaClock, RateLimit
from facegate.cameras.sources.spec import Rotation, SourceSpec
from facegate_client.contract import size_error
from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.header import read_header

if TYPE_CHECKING:
    from av import VideoFrame

Matrix = tuple[int, int, int, int]
"""a, b, c, d of x' = a x + c y, y' = b x + d y, y pointing down: the first two columns of FFmpeg's display matrix."""

_UPRIGHT: Matrix = (1, 0, 0, 1)
_CLOCKWISE: tuple[Matrix, ...] = (_UPRIGHT, (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0))  # by quarters
_MIRRORED: tuple[Matrix, ...] = ((-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0))
_EXIF = (_UPRIGHT, _MIRRORED[0], _CLOCKWISE[2], _MIRRORED[1], _MIRRORED[2], _CLOCKWISE[1], _MIRRORED[3], _CLOCKWISE[3])


class Shaping:
    """Makes one source's frames, over all its connections. For one thread at a time."""

    def __init__(self, spec: SourceSpec, live: bool) -> None:
        self.clock = MediaClock(live)
        self.count = 0
        self._limit = RateLimit(spec.fps)
        self._spec = spec

    def frame(
        self, decoded: VideoFrame, jpeg: bytes | None, pts_s: float | None, step_s: float, sar: Fraction | None
    ) -> Frame | None:
        """The next frame, None where the frame-rate limit leaves it out. Raises SourceError.

        `jpeg` is the file that the frame was decoded from, None of another codec. `pts_s` is its presentation time in
        the stream, None where there is none; `step_s` the stream's usual step; `sar` the width of its pixels divided
        by their height, None for square ones.
        """
        wall_s, read_s = time.time(), time.monotonic()
        media_s = self.clock.at(pts_s, read_s, step_s)
        if not self._limit.passes(media_s, step_s):
            return None
        width, height = square_size(decoded.width, decoded.height, sar)
        pixels = np.asarray(decoded.reformat(width, height, "bgr24").to_ndarray(), np.uint8)
        matrix = _product(_CLOCKWISE[self._spec.rotate // 90], _orientation(decoded, jpeg))
        pixels = _cut(_turned(pixels, matrix), self._spec.roi)
        self.count += 1
        return Frame(self.count - 1, media_s, wall_s, read_s, pixels)


def square_size(width: int, height: int, sar: Fraction | None) -> tuple[int, int]:
    """Returns width and height with square pixels, neither reduced. Raises SourceError over the contract's limits."""
    if sar is None:
        check_size(width, height)
        return width, height
    square = max(width, round(width * sar)), max(height, round(height / sar))
    try:
        check_size(*square)
    except SourceError as error:
        pixel = f"{sar.numerator}:{sar.denominator}"
        raise SourceError(f"{width}x{height} pixels of {pixel}: {error}; #sar=1:1 takes them as square") from error
    return square


def squared(pixels: NDArray[np.uint8], sar: Fraction | None) -> NDArray[np.uint8]:
    """uint8 [height, width, 3] with square pixels. Raises as `square_size`."""
    size = square_size(pixels.shape[1], pixels.shape[0], sar)
    return pixels if size == pixels.shape[1::-1] else np.asarray(cv2.resize(pixels, size), np.uint8)


def _orientation(decoded: VideoFrame, jpeg: bytes | None) -> Matrix:
    """The orientation that a file, or the frame itself, asks for; upright where it asks for none."""
    try:
        every: Any = decoded.side_data
        found = [bytes(every[index]) for index in range(len(every)) if every[index].type.name == "DISPLAYMATRIX"]
    except ValueError:  # PyAV does not know the type of one of them; of JPEG it is EXIF
        with suppress(InvalidImage):
            if jpeg is not None:
                return _EXIF[read_header(jpeg).orientation - 1]
        return _CLOCKWISE[round(-decoded.rotation / 90) % 4]
    if not found:
        return _UPRIGHT
    a, b, _, c, d = struct.unpack_from("=5i", found[0])  # FFmpeg, too, takes the first
    return nearest_orientation(a, b, c, d)


def nearest_orientation(a: float, b: float, c: float, d: float) -> Matrix:
    """The one of the eight orientations that is nearest to x' = a x + c y, y' = b x + d y; upright if in doubt."""
    wide, high = math.hypot(a, c) or 1.0, math.hypot(b, d) or 1.0
    return max((*_CLOCKWISE, *_MIRRORED), key=lambda m: (m[0] * a + m[2] * c) / wide + (m[1] * b + m[3] * d) / high)


def turned_and_cut(
    pixels: NDArray[np.uint8], clockwise: Rotation, roi: tuple[int, int, int, int] | None
) -> NDArray[np.uint8]:
    """uint8 [height, width, 3], C-contiguous: turned by `clockwise` degrees, then cut.

    `roi` is x, y, width, height; raises SourceError where it does not lie in the turned frame.
    """
    return _cut(_turned(pixels, _CLOCKWISE[clockwise // 90]), roi)


def _turned(pixels: NDArray[np.uint8], matrix: Matrix) -> NDArray[np.uint8]:
    """In one of the eight orientations, by OpenCV: several times as fast as a copy of numpy's turned view."""
    a, b, c, d = matrix
    if a == 0:
        pixels = np.asarray(cv2.transpose(pixels), np.uint8)
    mirrored = (a + c < 0, b + d < 0)  # left to right, top to bottom
    if any(mirrored):
        flip = {(True, True): -1, (True, False): 1, (False, True): 0}[mirrored]
        pixels = np.asarray(cv2.flip(pixels, flip), np.uint8)
    return pixels


def _cut(pixels: NDArray[np.uint8], roi: tuple[int, int, int, int] | None) -> NDArray[np.uint8]:
    if roi is not None:
        x, y, width, height = roi
        if x + width > pixels.shape[1] or y + height > pixels.shape[0]:
            given = ",".join(map(str, roi))
            raise SourceError(f"roi={given} does not lie in the frame of {pixels.shape[1]}x{pixels.shape[0]}")
        pixels = pixels[y : y + height, x : x + width]
    return np.ascontiguousarray(pixels)


def _product(after: Matrix, before: Matrix) -> Matrix:
    """Returns the orientation of applying `before` and then `after`."""
    a, b, c, d = before
    e, f, g, h = after
    return e * a + g * b, f * a + h * b, e * c + g * d, f * c + h * d


def check_size(width: int, height: int) -> None:
    """Raises SourceError over the contract's limits."""
    if error := size_error(width, height):
        raise SourceError(error)
