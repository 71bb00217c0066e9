"""Pictures to measure on, of any size and with any number of faces, made of one sample picture's live face.

The face is pasted in tiles of the same size onto an enlarged part of the same picture that has none, and the whole is
given a camera's noise, so that a JPEG of it has about as many bytes a pixel, and takes as long to decode, as a photo's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.build.build import build, fetch_pack
from facegate.cli.demo import LIVE
from facegate.cli.options import DEFAULT_PACK
from facegate.local.local import Local
from facegate.packs.shipped import pack_named
from facegate_client.imaging.image import decode
from facegate_client.requests import analysis

SIZES = {"640x480": (480, 640), "1080p": (1080, 1920), "3MP": (1500, 2000)}
"""Height and width in pixels."""

_FACELESS = slice(420, None)  # rows of the sample picture below the chin
_NOISE = np.float32(5.0)  # standard deviation in grey levels: a small sensor indoors
_QUALITY = 90

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG file where `encoded`, else raw BGR bytes, height · width · 3 of them; `faces` are detected in it."""

    name: str
    data: bytes
    height: int
    width: int
    faces: int
    encoded: bool


@cache
def picture(size: str, faces: int, encoded: bool = True) -> Picture:
    """The picture of one of SIZES. See `made`."""
    return made(size, *SIZES[size], faces, encoded)


def made(name: str, height: int, width: int, faces: int, encoded: bool) -> Picture:
    """`height` x `width` pixels. Raises RuntimeError where the pack's detector does not see `faces` faces."""
    image = _composed(height, width, faces)
    if encoded:
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
        image = decode(data)
    else:
        data = image.tobytes()
    if (seen := _detected(image)) != faces:
        raise RuntimeError(f"{seen} faces are detected in the picture {name} that was made of {faces}; choose fewer")
    kind = "JPEG" if encoded else "frame"
    return Picture(f"{name} {kind}, {faces} faces", data, height, width, faces, encoded)


def _composed(height: int, width: int, faces: int) -> Image:
    sample = _sample()
    canvas = cv2.resize(sample[_FACELESS], (width, height), interpolation=cv2.INTER_CUBIC)
    rows, columns = _grid(faces, height, width)
    cell_height, cell_width = height // rows, width // columns
    scale = min(cell_height / sample.shape[0], cell_width / sample.shape[1])
    tile = cv2.resize(sample, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for number in range(faces):
        row, column = divmod(number, columns)
        top = row * cell_height + (cell_height - tile.shape[0]) // 2
        left = column * cell_width + (cell_width - tile.shape[1]) // 2
        canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    noise = np.random.default_rng(1).standard_normal(canvas.shape, np.float32) * _NOISE
    return np.asarray(cv2.add(canvas, noise, dtype=cv2.CV_8U), np.uint8)


def _grid(faces: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of cells that leave the tiles largest."""
    tall, wide = _sample().shape[:2]
    grids = ((math.ceil(faces / columns), columns) for columns in range(1, faces + 1))
    return max(grids, key=lambda grid: min(height / grid[0] / tall, width / grid[1] / wide), default=(1, 1))


def _detected(image: Image) -> int:
    asked = analysis(image, anti_spoofing=False, embeddings=False, min_score=None, max_faces=None, faces=None)
    return len(asked.read(_local().start(asked.call, 30.0).result()))


@cache
def _sample() -> Image:
    return decode(fetch_pack(pack_named(DEFAULT_PACK))[LIVE].read_bytes())


@cache
def _local() -> Local:
    return Local(build(pack_named(DEFAULT_PACK)))
