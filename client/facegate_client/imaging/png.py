"""A PNG's chunks, and the part of them that the decoder is given.

What a PNG may carry beside its pixels is a danger, not a service: an animation's frame that is larger than its canvas
ends OpenCV 4.11's process (it writes out of bounds), and a thousand compressed texts keep libpng busy for half a
minute. So the decoder sees pixels, palette and transparency, and no more of them than the header promises.

Chunk layout and names: PNG specification, third edition (W3C, 2025), chapters 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from facegate_client.imaging.errors import InvalidImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_MAX_CHUNKS = 10_000  # 10 MiB in the 8 KiB chunks that libpng writes are 1,280
_ESSENTIAL = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
_GREY = 0  # the colour type
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type (table 11.1 of the specification)

# Deflate expands at most 1,032 times: up to here the worst file takes a second, as 40 honest megapixels do. From here
# on the check costs about half as much as the decoding.
_HARMLESS_BYTES = 512 * 1024
_PIECE = 16 * 1024  # inflated in pieces of this size, so that the check itself holds at most 17 MB

# 16 bits with transparency: OpenCV holds them twice, 16 bytes a pixel, and so comes to what 40 megapixels without do.
_MAX_DEEP_PIXELS = 30_000_000


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's name, and where its content begins and ends in `data`; the last is IEND.

    Raises InvalidImage where the file ends before its IEND, and for a file of too many chunks.
    """
    at = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        name, begin = data[at + 4 : at + 8], at + 8
        end = begin + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):  # four bytes of CRC follow
            raise InvalidImage("truncated PNG: it ends before its IEND chunk")
        yield name, begin, end
        if name == b"IEND":
            return
        at = end + 4
    raise InvalidImage(f"PNG of more than {_MAX_CHUNKS} chunks")


def essentials(data: bytes) -> bytes:
    """The same PNG without all that its first image does not need. `data` has passed `read_header`.

    Raises InvalidImage for pixel data that inflates to more than twice what the header promises: libpng would
    inflate all of it (10 MiB to 10 GiB) before it returned an image of a few pixels. And for more pixels of 16 bits and
    transparency than there is memory for.
    """
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    wanted = _ESSENTIAL - {b"tRNS"} if colour == _GREY else _ESSENTIAL  # see transparent_grey
    kept = [(name, begin, end) for name, begin, end in chunks(data) if name in wanted]
    transparent = colour in (4, 6) or any(name == b"tRNS" for name, _, _ in kept)
    if bits == 16 and transparent and width * height > _MAX_DEEP_PIXELS:
        raise InvalidImage(
            f"PNG of {width * height} pixels of 16 bits with transparency; the limit is {_MAX_DEEP_PIXELS}"
        )
    view = memoryview(data)
    pixels = [view[begin:end] for name, begin, end in kept if name == b"IDAT"]
    if sum(map(len, pixels)) > _HARMLESS_BYTES:
        _refuse_bomb(pixels, 2 * _inflated_size(data))
    return b"".join([SIGNATURE, *(view[begin - 8 : end + 4] for _, begin, end in kept)])


def transparent_grey(data: bytes) -> int | None:
    """Returns the sample that a grey PNG's tRNS chunk makes transparent, scaled to 8 bits where it has fewer.

    So are the samples that OpenCV 4.11 decodes; it ignores the chunk, and `essentials` leaves it out. None for other
    PNGs, and for a chunk that libpng ignores: one after the pixel data, of another length or with a wrong checksum.
    `data` has passed `read_header`.
    """
    bits, colour = data[24], data[25]
    if colour != _GREY:
        return None
    for name, begin, end in chunks(data):
        if name == b"IDAT":
            break
        checksum = int.from_bytes(data[end : end + 4], "big")
        if name == b"tRNS" and end - begin == 2 and zlib.crc32(data[begin - 4 : end]) == checksum:
            most = (1 << bits) - 1
            value = int.from_bytes(data[begin:end], "big") & most  # the other bits are unused (11.3.1.1)
            return value * 255 // most if bits < 8 else value
    return None


def _inflated_size(data: bytes) -> int:
    """An upper bound: the pixels, and two bytes (the filter, a part-filled byte) a row of Adam7's 2 * height + 7."""
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    bits = data[24] * _CHANNELS.get(data[25], 4)
    return width * height * bits // 8 + 2 * (2 * height + 7)


def _refuse_bomb(pixels: list[memoryview], allowed: int) -> None:
    inflater, produced = zlib.decompressobj(), 0
    for part in pixels:
        for at in range(0, len(part), _PIECE):
            try:
                produced += len(inflater.decompress(part[at : at + _PIECE]))
            except zlib.error:
                raise InvalidImage("damaged PNG: its pixel data cannot be inflated") from None
            if produced > allowed:
                raise InvalidImage("PNG whose pixel data is more than twice what its width and height need")
            if inflater.eof:
                return
