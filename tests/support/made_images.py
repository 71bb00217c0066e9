"""Image files of every kind and mode, made in memory."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 21, 13  # odd, so that rows need padding


def picture(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Smooth enough for a lossy codec, and different under each of the eight orientations."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return Image.fromarray(np.dstack((230 * x, 200 * y, 255 * x * (1 - y))).astype(np.uint8))


def translucent(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    image = picture(width, height).convert("RGBA")
    image.putalpha(Image.fromarray(np.linspace(0, 255, width * height).astype(np.uint8).reshape(height, width)))
    return image


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def written(extension: str, array: NDArray[Any]) -> bytes:
    done, file = cv2.imencode(extension, array)
    assert done
    return file.tobytes()


def exif(orientation: int, thumbnail: bytes = b"") -> bytes:
    """EXIF with an orientation and, in its second directory, a JPEG thumbnail."""
    first = struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 26 if thumbnail else 0)
    second = struct.pack(">HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0)
    return b"Exif\0\0MM\0*\0\0\0\x08" + first + (second + thumbnail if thumbnail else b"")


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(width: int, height: int, pixel_data: bytes, extra: bytes = b"") -> bytes:
    """A PNG of 8-bit RGB whose header may lie; `extra` chunks stand before the pixel data."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + png_chunk(b"IDAT", pixel_data) + png_chunk(b"IEND", b"")


def bmp_of(bits: int, width: int, height: int, *, compression: int = 0, data: bytes | None = None) -> bytes:
    """A BMP of pseudo-random pixels; a negative height is stored top-down."""
    palette = np.random.default_rng(1).bytes(4 << bits) if bits <= 8 else b""
    if data is None:
        data = np.random.default_rng(bits).bytes((width * bits + 31) // 32 * 4 * abs(height))
    offset = 54 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, len(palette) // 4, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + info + palette + data


def _jpeg(mode: str = "RGB", **options: Any) -> Callable[[], bytes]:
    return lambda: saved(picture().convert(mode), "JPEG", quality=95, **options)


def _png(mode: str, **options: Any) -> Callable[[], bytes]:
    return lambda: saved(translucent().convert(mode), "PNG", **options)


def _webp(make: Callable[[], Image.Image], **options: Any) -> Callable[[], bytes]:
    return lambda: saved(make(), "WEBP", **options)


def _animation(kind: str, make: Callable[[], Image.Image]) -> Callable[[], bytes]:
    return lambda: saved(make(), kind, save_all=True, append_images=[make().rotate(180)], duration=100, lossless=True)


# Files that Pillow reads to the very pixels that a user expects, so that it can say what ours should be.
_MAKERS: dict[str, Callable[[], bytes]] = {
    "jpeg": _jpeg(),
    "jpeg grey": _jpeg("L"),
    "jpeg progressive": _jpeg(progressive=True),
    "jpeg 4:4:4": _jpeg(subsampling=0),
    "jpeg restarts": _jpeg(restart_marker_blocks=1),
    "jpeg with a thumbnail": _jpeg(exif=exif(1, saved(picture(8, 6), "JPEG"))),
    "jpeg with ICC": _jpeg(icc_profile=bytes(150_000)),
    "png 1 bit": _png("1"),
    "png grey": _png("L"),
    "png grey and alpha": _png("LA"),
    "png": _png("RGB"),
    "png alpha": _png("RGBA"),
    "png opaque alpha": lambda: saved(picture().convert("RGBA"), "PNG"),
    "png palette": lambda: saved(picture().quantize(16), "PNG"),
    "png palette of 2 bits": lambda: saved(picture().quantize(4), "PNG", bits=2),
    "png palette, one colour transparent": lambda: saved(picture().quantize(16), "PNG", transparency=3),
    "png palette, translucent": lambda: saved(picture().quantize(16), "PNG", transparency=bytes(range(0, 256, 16))),
    "png colour key": lambda: saved(picture(), "PNG", transparency=(0, 0, 0)),
    "png animated": _animation("PNG", picture),
    "webp": _webp(picture),
    "webp lossless": _webp(picture, lossless=True),
    "webp alpha": _webp(translucent),
    "webp lossless alpha": _webp(translucent, lossless=True, exact=True),
    "webp animated": _animation("WEBP", picture),
    "webp animated alpha": _animation("WEBP", translucent),
    **{f"bmp {bits} bits": partial(bmp_of, bits, WIDTH, HEIGHT) for bits in (1, 4, 8, 24, 32)},
    **{f"bmp {bits} bits top-down": partial(bmp_of, bits, WIDTH, -HEIGHT) for bits in (1, 4, 8, 24, 32)},
    "bmp run-length": lambda: bmp_of(8, 4, 2, compression=1, data=b"\x04\x07\0\0\x02\x05\x02\x09\0\x01"),
}
FILES = {name: make() for name, make in _MAKERS.items()}
