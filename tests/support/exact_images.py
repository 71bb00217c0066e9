"""PNG and BMP files of given samples, EXIF of given tags, and the images of bug reports with what each must become."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .made_images import picture, png_chunk, png_of, saved

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of PNG's colour types
_ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png_of_samples(
    samples: NDArray[np.int64], bits: int, colour: int, *, before: bytes = b"", after: bytes = b"", adam7: bool = False
) -> bytes:
    """A PNG of whole numbers [height, width, channels]; chunks `before` and `after` its pixel data."""
    height, width, _ = samples.shape
    passes = [samples[y::high, x::wide] for x, y, wide, high in _ADAM7] if adam7 else [samples]
    data = b"".join(b"\0" + _packed(row.reshape(-1), bits) for each in passes if each.size for row in each)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, adam7))
    pixels = png_chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + after + png_chunk(b"IEND", b"")


def _packed(row: NDArray[np.int64], bits: int) -> bytes:
    if bits >= 8:
        return row.astype(f">u{bits // 8}").tobytes()
    return np.packbits(np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]).tobytes()


def masked_bmp(
    bgra: NDArray[np.uint8],
    masks: Sequence[int],
    *,
    bits: int = 32,
    header: int = 40,
    compression: int = 3,
    top_down: bool = False,
    gap: bytes = b"",
) -> bytes:
    """A BMP whose pixels are `bgra`, UINT8 [height, width, 4], packed by the masks of red, green, blue (and alpha).

    The masks follow a header of 40 bytes and lie within a longer one; `gap` follows both. Compression 0 leaves the
    masks out.
    """
    height, width, _ = bgra.shape
    values = np.zeros((height, width), np.uint64)
    for mask, channel in zip(masks, (2, 1, 0, 3), strict=False):
        if mask:
            low = mask & -mask
            values |= np.rint(bgra[..., channel] * ((mask // low) / 255)).astype(np.uint64) * np.uint64(low)
    stride = (width * bits + 31) // 32 * 4
    rows = [row.astype(f"<u{bits // 8}").tobytes().ljust(stride, b"\0") for row in values]
    data = b"".join(rows if top_down else rows[::-1])
    stored_height = -height if top_down else height
    info = struct.pack("<IiiHHIIiiII", header, width, stored_height, 1, bits, compression, len(data), 0, 0, 0, 0)
    if compression:
        info += struct.pack(f"<{len(masks)}I", *masks)
    info = info.ljust(header, b"\0") + gap
    return b"BM" + struct.pack("<IHHI", 14 + len(info) + len(data), 0, 0, 14 + len(info)) + info + data


def tag(kind: int, value: bytes, count: int = 1, number: int = 0x0112) -> tuple[int, int, int, bytes]:
    """A TIFF tag, orientation's by default: `value` in the byte order of its file."""
    return number, kind, count, value


SIX = tag(3, b"\6\0")  # orientation 6 as a SHORT, little-endian
THREE = tag(3, b"\3\0")
MAKER = tag(2, b"x\0", 2, 0x010F)


def tiff(*tags: tuple[int, int, int, bytes], order: str = "<", first_offset: int = 8, thumbnail: bool = False) -> bytes:
    """A TIFF structure with these tags in IFD0; with `thumbnail` they are in IFD1 and IFD0 is empty."""
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", first_offset)
    start = start.ljust(first_offset, b"\0")
    if thumbnail:
        start += struct.pack(order + "HI", 0, first_offset + 6)
    values_at = len(start) + 2 + 12 * len(tags) + 4
    directory, values = struct.pack(order + "H", len(tags)), b""
    for number, kind, count, value in tags:
        directory += struct.pack(order + "HHI", number, kind, count)
        if len(value) <= 4:
            directory += value.ljust(4, b"\0")
        else:
            directory += struct.pack(order + "I", values_at + len(values))
            values += value
    return start + directory + bytes(4) + values


def with_app1(jpeg: bytes, *contents: bytes) -> bytes:
    """The JPEG with APP1 segments of these contents before all others."""
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content for content in contents)
    return jpeg[:2] + segments + jpeg[2:]


def with_exif_chunks(png: bytes, *blocks: bytes) -> bytes:
    """The PNG with an eXIf chunk for each block, after its header."""
    return png[:33] + b"".join(png_chunk(b"eXIf", block) for block in blocks) + png[33:]


def with_webp_chunks(webp: bytes, width: int, height: int, *blocks: bytes) -> bytes:
    """A still WebP in the extended format, with an EXIF chunk for each block after its image."""
    canvas = bytes((8, 0, 0, 0)) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas + webp[12:]
    for block in blocks:
        body += b"EXIF" + struct.pack("<I", len(block)) + block + b"\0" * (len(block) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
RGBX = (0xFF, 0xFF00, 0xFF0000)  # red in the lowest byte


def clockwise(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As orientation 6 shows it: turned by 90 degrees."""
    return np.ascontiguousarray(np.rot90(image, -1))


@cache
def reported_images() -> dict[str, tuple[bytes, NDArray[np.uint8] | None]]:
    """Images of bug reports by file name: the file, and its pixels in BGR, or None where it must be refused."""
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    red = black.copy()
    red[..., 2] = 255
    clear = png_chunk(b"tRNS", b"\0\0")
    grey = np.zeros((64, 64, 1), np.int64)
    lying = np.asarray(picture(64, 32))[..., ::-1]
    jpeg, png = saved(picture(64, 32), "JPEG", quality=95), saved(picture(64, 32), "PNG")
    upright_jpeg = clockwise(_decoded(jpeg))
    exif = b"Exif\0\0" + tiff(SIX)
    return {
        "grey_trns.png": (png_of_samples(grey, 8, 0, before=clear), white),
        "grey2_trns.png": (png_of_samples(grey, 2, 0, before=clear), white),
        "grey16_trns.png": (png_of_samples(grey, 16, 0, before=clear), white),
        "rgbx_bitfields.bmp": (masked_bmp(np.dstack((red, np.zeros((64, 64), np.uint8))), RGBX), red),
        "exif6_after_xmp.jpg": (with_app1(jpeg, XMP, exif), upright_jpeg),
        "exif6_as_long.jpg": (with_app1(jpeg, b"Exif\0\0" + tiff(tag(4, b"\6\0\0\0"))), upright_jpeg),
        "exif6_prefixed.png": (with_exif_chunks(png, exif), clockwise(lying)),
        "webp_first_frame_damaged.webp": (_damaged_webp(), None),
        "apng_first_frame_broken.png": (_animated_png(first_filter=7), None),
        "apng_second_frame_large.png": (_animated_png(second_side=99), black),
        "texts.png": (_texts(900), black),
    }


def portrait_files(portrait: NDArray[np.uint8]) -> dict[str, tuple[bytes, NDArray[np.uint8]]]:
    """A portrait (UINT8 [height, width, 3], BGR) in three of those ways: the file, and its pixels in BGR."""
    bgra = np.dstack((portrait, np.zeros(portrait.shape[:2], np.uint8)))
    jpeg = saved(Image.fromarray(np.rot90(portrait)[..., ::-1]), "JPEG", quality=95)
    grey = portrait[..., 1].astype(np.int64)
    key = int(np.bincount(grey.reshape(-1)).argmax())
    png = png_of_samples(
        grey[..., None] * 257, 16, 0, before=png_chunk(b"tRNS", (key * 257).to_bytes(2, "big")), adam7=True
    )
    return {
        "rgbx.bmp": (masked_bmp(bgra, RGBX), portrait),
        "exif6.jpg": (
            with_app1(jpeg, XMP, b"Exif\0\0" + tiff(tag(4, b"\6\0\0\0"))),
            clockwise(_decoded(jpeg)),
        ),
        "grey16_trns.png": (png, np.dstack([np.where(grey == key, 255, grey).astype(np.uint8)] * 3)),
    }


def _decoded(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def _damaged_webp() -> bytes:
    first = picture(64, 64)
    data = saved(first, "WEBP", save_all=True, append_images=[first.rotate(180)], duration=100, lossless=True)
    begin = data.index(b"ANMF") + 8 + 16 + 8 + 10  # within the first frame's image data
    return data[:begin] + b"\xff" * 40 + data[begin + 40 :]


def _rows(filter_type: int) -> bytes:
    return zlib.compress((bytes([filter_type]) + bytes(64 * 3)) * 64)


def _animated_png(first_filter: int = 0, second_side: int = 64) -> bytes:
    def control(number: int, side: int) -> bytes:
        return png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, side, side, 0, 0, 1, 10, 0, 0))

    second = struct.pack(">I", 2) + zlib.compress((b"\0" + bytes(second_side * 3)) * second_side)
    file = png_of(64, 64, _rows(first_filter), png_chunk(b"acTL", struct.pack(">II", 2, 0)) + control(0, 64))
    return file[:-12] + control(1, second_side) + png_chunk(b"fdAT", second) + file[-12:]


def _texts(count: int) -> bytes:
    text = zlib.compress(b"a" * 6_000_000)
    return png_of(64, 64, _rows(0), b"".join(png_chunk(b"zTXt", b"k%d\0\0" % number + text) for number in range(count)))
