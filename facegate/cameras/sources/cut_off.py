"""Whether a video file ends before its container says that it does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # RFC 8794; RFC 9559, section 5.1
_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")  # that ISO 14496-12 files begin with
_WITH_SIZES = (*_BOXES, b"moof", b"mfra", b"sidx", b"udta", b"meta", b"uuid")  # anything else may not be a box


def is_cut_off(path: str) -> bool:
    """Returns whether bytes are missing at the end of an MP4, MOV, Matroska, WebM or AVI file.

    False for other containers, and where the writer left the size open, as recorders do that were switched off.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        return any(end > size for end in _ends(file, size))


def _ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Yields the offsets at which the outermost parts of the file end according to their headers, in bytes."""
    head = file.read(64)
    if head[:4] == b"RIFF":
        yield from _riff_ends(file, size)
    elif head[:4] == _EBML:
        header = _vint(head, 4)
        at = -1 if header is None else sum(header)
        segment = _vint(head, at + 4) if head[at : at + 4] == _SEGMENT else None
        if segment is not None:
            yield sum(segment)
    elif head[4:8] in _BOXES:
        yield from _box_ends(file, size)


def _riff_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """AVI; files over a gigabyte have several chunks (OpenDML)."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):
            return
        yield at + 8 + length
        at += 8 + length + length % 2


def _box_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """A fragment's description (moof) is followed by its frames, and a box by another box or by nothing."""
    at, kind = 0, b""
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, least = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, least = int.from_bytes(head[8:16], "big"), 16
        if length < least:  # 0: to the end of the file
            return
        at, kind = at + length, head[4:8]
        if kind in _WITH_SIZES:
            yield at
    file.seek(min(at, size))
    rest = file.read(8)
    if kind == b"moof" or (kind in _WITH_SIZES and any(rest)):  # zeros are padding
        yield at + 8


def _vint(data: bytes, at: int) -> tuple[int, int] | None:
    """Returns an EBML element's size and where that field ends; None if unknown (RFC 8794, section 4)."""
    if at >= len(data) or not data[at]:
        return None
    length = 9 - data[at].bit_length()
    number = int.from_bytes(data[at : at + length], "big") & (1 << 7 * length) - 1
    return None if number == (1 << 7 * length) - 1 else (number, at + length)
