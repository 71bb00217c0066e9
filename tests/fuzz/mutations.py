"""Mutations that keep an image file's framing whole, so that what lies behind a checksum or a length is reached."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

from tests.fuzz.framing import Parts, jpeg_file, jpeg_parts, png_file, png_parts, webp_file, webp_parts

SIDES = (0, 1, 2, 3, 7, 8, 9, 16, 17, 21, 64, 255, 256, 257, 640, 1000)
LARGE = (
    (8000, 5000),
    (5000, 8000),
    (16383, 2441),
    (2441, 16383),
    (32766, 1220),
    (1, 32766),
    (32767, 3),
    (65535, 65535),
)
PNG_EXTRAS = (
    b"PLTE",
    b"tRNS",
    b"acTL",
    b"fcTL",
    b"fdAT",
    b"iCCP",
    b"zTXt",
    b"eXIf",
    b"gAMA",
    b"sBIT",
    b"bKGD",
    b"IDAT",
)
JPEG_EXTRAS = (
    b"\xc0",
    b"\xc1",
    b"\xc2",
    b"\xc4",
    b"\xda",
    b"\xdb",
    b"\xdc",
    b"\xdd",
    b"\xe0",
    b"\xe1",
    b"\xee",
    b"\xfe",
)
WEBP_EXTRAS = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"ICCP", b"JUNK")


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the time a part is changed and the file joined again, half of the time bytes are, wherever they stand."""
    import atheris

    rng = random.Random(seed)
    plain: Callable[[bytes], bytes] = lambda some: atheris.Mutate(some, len(some) + 64)  # noqa: E731
    if rng.random() < 0.5:
        return bytes(atheris.Mutate(data, max_size))
    if data.startswith(b"\x89PNG"):
        data = png_file(_changed(png_parts(data), PNG_EXTRAS, plain, rng))
    elif data.startswith(b"\xff\xd8"):
        data = jpeg_file(_changed(jpeg_parts(data), JPEG_EXTRAS, plain, rng))
    elif data.startswith(b"RIFF"):
        data = webp_file(_changed(webp_parts(data), WEBP_EXTRAS, plain, rng))
    elif data.startswith(b"BM"):
        data = _bmp(bytearray(data.ljust(54, b"\0")), plain, rng)
    else:
        data = bytes(atheris.Mutate(data, max_size))
    return data[:max_size]


def _changed(parts: Parts, extras: tuple[bytes, ...], plain: Callable[[bytes], bytes], rng: random.Random) -> Parts:
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not parts:
            break
        at = rng.randrange(len(parts))
        name, content = parts[at]
        what = rng.randrange(8)
        if what < 3:
            parts[at] = name, plain(content)
        elif what == 3:
            parts[at] = name, _resized(name, content, rng)
        elif what == 4:
            parts[at : at + 1] = [(name, content)] * rng.choice((0, 2, 2, 3, 20))
        elif what == 5:
            parts.insert(rng.randrange(len(parts) + 1), (rng.choice(extras), rng.randbytes(rng.randrange(40))))
        elif what == 6:
            parts.insert(rng.randrange(len(parts)), parts.pop(at))
        elif name == b"IDAT":
            parts[at] = name, _repacked(content, plain)
        else:
            parts[at] = rng.choice(extras), content
    return parts


def _sides(rng: random.Random) -> tuple[int, int]:
    return rng.choice(LARGE) if rng.random() < 0.05 else (rng.choice(SIDES), rng.choice(SIDES))  # large ones are slow


def _resized(name: bytes, content: bytes, rng: random.Random) -> bytes:
    """Other sides, and for a PNG another depth and colour, where this part says them; else it is cut or repeated."""
    width, height = _sides(rng)
    if name == b"IHDR":
        kind = rng.choice(
            (
                (1, 0),
                (2, 0),
                (4, 0),
                (8, 0),
                (16, 0),
                (8, 2),
                (16, 2),
                (1, 3),
                (2, 3),
                (8, 3),
                (8, 4),
                (16, 4),
                (8, 6),
                (16, 6),
            )
        )
        return struct.pack(">IIBBBBB", width, height, *kind, 0, 0, rng.randrange(2))
    if len(name) == 1 and 0xC0 <= name[0] <= 0xC2:
        samplings = bytes(
            rng.choice((0x11, 0x11, 0x21, 0x22, 0x12, 0x41, 0x44)) if at % 3 == 1 else byte
            for at, byte in enumerate(content[6:])
        )
        return content[:1] + struct.pack(">HH", height, width) + content[5:6] + samplings
    if name == b"VP8X":
        return content[:4] + max(0, width - 1).to_bytes(3, "little") + max(0, height - 1).to_bytes(3, "little")
    if name == b"ANMF":
        places = (rng.choice((0, 0, 1, 5)), rng.choice((0, 0, 1, 5)), max(0, width - 1), max(0, height - 1))
        return b"".join(place.to_bytes(3, "little") for place in places) + content[12:]
    if name == b"VP8 ":
        return content[:6] + struct.pack("<HH", width, height) + content[10:]
    if name == b"VP8L":
        return content[:1] + struct.pack("<I", (width & 0x3FFF) | (height & 0x3FFF) << 14) + content[5:]
    return content[: rng.randrange(len(content) + 1)] * rng.choice((1, 1, 2, 5))


def _repacked(content: bytes, plain: Callable[[bytes], bytes]) -> bytes:
    try:
        rows = zlib.decompressobj().decompress(content, 1 << 20)
    except zlib.error:
        rows = content
    return zlib.compress(plain(rows), 1)


def _bmp(data: bytearray, plain: Callable[[bytes], bytes], rng: random.Random) -> bytes:
    """Other values in the header's fields, or other pixels behind it."""
    what = rng.randrange(5)
    if what == 0:
        width, height = _sides(rng)
        data[18:26] = struct.pack("<ii", width, height * rng.choice((1, -1)))
    elif what == 1:
        data[28:34] = struct.pack("<HI", rng.choice((1, 4, 8, 16, 24, 32)), rng.choice((0, 0, 1, 2, 3, 6)))
    elif what == 2:
        data[10:18] = struct.pack(
            "<II",
            rng.choice((26, 54, 62, 66, 70, 118, 138, 1078, len(data))),
            rng.choice((12, 36, 40, 52, 56, 64, 108, 124)),
        )
    elif what == 3:
        data[46:50] = struct.pack("<I", rng.choice((0, 1, 2, 16, 255, 256, 257, 1 << 31)))
    else:
        data[54:] = plain(bytes(data[54:]))
    return bytes(data)
