"""The size that a picture file declares, looked up before anything is decoded: a small file may declare gigapixels."""

from __future__ import annotations

import re

from facegate_client.camera.frame import SourceError
from facegate_client.camera.sources.shaping import check_size
from facegate_client.errors import BadImage

_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)  # more than one 0xFF may stand before it
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # ITU-T T.81, table B.1
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers that no length follows
_ENDS = frozenset({0xD9, 0xDA})


def check_declared_size(data: bytes, name: str) -> None:
    """Raises BadImage over the limits, and where `data` does not begin as a PNG, JPEG, WebP or BMP does."""
    size = declared_size(data)
    if size is None:
        raise BadImage(f"{name}: not a PNG, JPEG, WebP or BMP, or a damaged one")
    try:
        check_size(*size)
    except SourceError as error:
        raise BadImage(f"{name}: {error}") from error


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Width and height before any turn, or None for another kind of file; what they are of a damaged one is open."""

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little")

    if data[:2] == b"\xff\xd8":
        return _of_jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:2] == b"BM" and number(14, 4) == 12:  # OS/2
        return number(18, 2), number(20, 2)
    if data[:2] == b"BM":  # upside down where the height is below zero
        return abs(_signed(number(18, 4))), abs(_signed(number(22, 4)))
    kind = data[12:16] if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else b""
    if kind == b"VP8X":  # Google, "WebP Container Specification"
        return number(24, 3) + 1, number(27, 3) + 1
    if kind == b"VP8L":
        return (number(21, 4) & 0x3FFF) + 1, (number(21, 4) >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":  # RFC 6386, section 9.1
        return number(26, 2) & 0x3FFF, number(28, 2) & 0x3FFF
    return None


def _of_jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while found := _MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker in _START_OF_FRAME:
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 3 : at + 5], "big")
        if marker in _ENDS:
            return None
        if marker not in _ALONE:
            at += int.from_bytes(data[at : at + 2], "big")
    return None


def _signed(number: int) -> int:
    return number - (number >> 31 << 32)
