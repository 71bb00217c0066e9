"""An image file taken apart into its chunks or segments, and put together again with lengths and checksums that fit.

Taking apart is lenient, as fuzzed files are anything; putting together gives a file that a decoder looks into.
"""

from __future__ import annotations

import struct
import zlib

Parts = list[tuple[bytes, bytes]]  # a chunk's name or a segment's code, and the content


def png_parts(data: bytes) -> Parts:
    at, parts = 8, []
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return parts


def png_file(parts: Parts) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )


def jpeg_parts(data: bytes) -> Parts:
    """Segments by marker; what follows a scan's header is a part of its own, named b""."""
    at, parts = 2, []
    while at + 4 <= len(data) and data[at] == 0xFF:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append((data[at + 1 : at + 2], data[at + 4 : at + 2 + size]))
        begin = at = at + 2 + size
        if parts[-1][0] == b"\xda":
            while at + 1 < len(data) and not (
                data[at] == 0xFF and data[at + 1] > 0 and not 0xD0 <= data[at + 1] <= 0xD7
            ):
                at += 1
            parts.append((b"", data[begin:at]))
    return parts


def jpeg_file(parts: Parts) -> bytes:
    framed = (
        b"\xff" + name + struct.pack(">H", min(len(content) + 2, 0xFFFF)) if name else b"" for name, content in parts
    )
    return b"\xff\xd8" + b"".join(frame + part[1] for frame, part in zip(framed, parts, strict=True)) + b"\xff\xd9"


def webp_parts(data: bytes) -> Parts:
    at, parts = 12, []
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        parts.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return parts


def webp_file(parts: Parts) -> bytes:
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for name, content in parts
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body
