"""A WebP's chunks, and an animation's first image as a file of its own.

When an animation's first frame is damaged, OpenCV 4.11 takes it from where a pointer happens to point: the process
ends, or its memory could become the picture (opencv/opencv issue 27456). So the decoder is only given still images.

Layout: RFC 9649, chapter 2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from facegate_client.imaging.errors import InvalidImage

_MAX_CHUNKS = 10_000  # a frame of an animation each
_ANIMATED, _TRANSPARENT = 0x02, 0x10  # of VP8X's flags


@dataclass(frozen=True, slots=True)
class Placed:
    """A still WebP, and where on the canvas its top left corner and its size in pixels are."""

    file: bytes
    left: int
    top: int
    width: int
    height: int


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's name, and where its content begins and ends in `data`.

    Raises InvalidImage for a file that ends before its chunks do, and for one of too many.
    """
    at, end = 12, 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise InvalidImage(f"truncated WebP: its header claims {end} bytes, {len(data)} came")
    for _ in range(_MAX_CHUNKS):
        if at + 8 > end:
            return
        begin, length = at + 8, int.from_bytes(data[at + 4 : at + 8], "little")
        if begin + length > end:
            raise InvalidImage("truncated WebP: a chunk reaches past its end")
        yield data[at : at + 4], begin, begin + length
        at = begin + length + length % 2
    raise InvalidImage(f"WebP of more than {_MAX_CHUNKS} chunks")


def is_animation(data: bytes) -> bool:
    """Whether decoders take it for one. `data` has passed `read_header`."""
    return data[12:16] == b"VP8X" and bool(data[20] & _ANIMATED)


def first_image(data: bytes, width: int, height: int) -> Placed:
    """The first frame of an animation with a canvas of `width` x `height`. `data` has passed `read_header`.

    Raises InvalidImage where there is none, and for one that is not within the canvas.
    """
    frame = next((place for name, *place in chunks(data) if name == b"ANMF"), None)
    if frame is None or frame[1] - frame[0] < 16:
        raise InvalidImage("damaged WebP: an animation without a first frame")
    begin, end = frame
    left, top, frame_width, frame_height = (
        int.from_bytes(data[at : at + 3], "little") for at in range(begin, begin + 12, 3)
    )
    placed = {"left": 2 * left, "top": 2 * top, "width": frame_width + 1, "height": frame_height + 1}
    if placed["left"] + placed["width"] > width or placed["top"] + placed["height"] > height:
        raise InvalidImage("damaged WebP: its first frame reaches past its canvas")
    canvas = bytes((_TRANSPARENT, 0, 0, 0)) + data[begin + 6 : begin + 12]
    body = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas + data[begin + 16 : end]
    return Placed(b"RIFF" + struct.pack("<I", len(body)) + body, **placed)
