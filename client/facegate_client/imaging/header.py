"""What an image file says of itself, read without decoding: kind, size, orientation, and whether all of it is there.

Limits are checked on this before a decoder sees a byte. Nothing here trusts the file: every loop is bounded, what no
count can bound runs in C over the bytes once, and all that is wrong raises InvalidImage.

Layouts: JPEG, ITU-T T.81 annex B; PNG, W3C third edition; WebP, RFC 9649; BMP, Microsoft's BITMAPFILEHEADER and
BITMAPINFOHEADER.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np

from facegate_client.contract import MAX_PIXELS
from facegate_client.imaging import png, webp
from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.exif import jpeg_block, orientation_of

Kind = Literal["JPEG", "PNG", "WebP", "BMP"]

_MAX_SEGMENTS = 1000  # extended XMP and ICC profiles of 10 MiB need 160; OpenCV's time is quadratic in the APP1s
_MAX_STRAY = 1024  # fill and stray bytes between two segments; the search for a marker ends here
_MAX_SCANS = 100  # each scan is a pass over the whole image, however short its data; libjpeg writes 10, mozjpeg 13
_MAX_LARGE_SCANS = 20  # of 40 megapixels, and as many more as an image is smaller: a pass over 40 takes up to 35 ms

_MARKER = re.compile(rb"\xff[^\x00\xff]")  # as decoders find one: over fill bytes, stuffing and stray bytes
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # DHT, JPG and DAC share the range
_USUAL_SOF = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended and progressive, all with Huffman codes
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # TEM, RST0-7, SOI: no length follows
_EOI, _SOS, _APP1 = 0xD9, 0xDA, 0xE1
_ENDS_SCAN = np.zeros(256, np.bool_)  # what may follow 0xFF within a scan does not: stuffing, fill, a restart
_ENDS_SCAN[[code for code in range(1, 255) if not 0xD0 <= code <= 0xD7]] = True


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """A whole file's claims. Width and height are pixels as stored, above zero, before the EXIF orientation (1-8)."""

    kind: Kind
    width: int
    height: int
    orientation: int


def read_header(data: bytes | memoryview) -> ImageHeader:
    """The header of a JPEG, PNG, WebP or BMP file, told by its magic bytes.

    Raises InvalidImage for any other file, one that is truncated or damaged where this looks, one of no pixels, and
    one whose structure costs a decoder more than its pixels do.
    """
    data = bytes(data)
    if data.startswith(b"\xff\xd8\xff"):
        header = _jpeg(data)
    elif data.startswith(png.SIGNATURE):
        header = _png(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        header = _webp(data)
    elif data.startswith(b"BM"):
        header = _bmp(data)
    else:
        raise InvalidImage("not a JPEG, PNG, WebP or BMP file")
    if header.width <= 0 or header.height <= 0:  # a JPEG may leave its height to a DNL marker; decoders refuse it too
        raise InvalidImage(f"{header.kind} of {header.width} x {header.height} pixels: it has none")
    return header


def _jpeg(data: bytes) -> ImageHeader:
    width = height = None
    exif: list[memoryview] = []
    view = memoryview(data)
    if _markers(data, _APP1) > _MAX_SEGMENTS:  # wherever they stand: OpenCV keeps those between scans as well
        raise InvalidImage(f"JPEG of more than {_MAX_SEGMENTS} APP1 segments")
    at = 2
    for _ in range(_MAX_SEGMENTS):
        marker = _MARKER.search(data, at, at + _MAX_STRAY)
        if marker is None:
            raise InvalidImage("truncated or damaged JPEG: its segments end before its image data")
        at, code = marker.end(), data[marker.end() - 1]
        if code in _STANDALONE:
            continue
        if code == _EOI:
            raise InvalidImage("damaged JPEG: it has no image data")
        (length,) = _unpack(">H", data, at, "JPEG")
        end = at + length
        if end > len(data):
            raise InvalidImage("truncated JPEG: it ends before its image data")
        if code in _SOF and code not in _USUAL_SOF:  # as browsers do; a few bytes of arithmetic code last for seconds
            raise InvalidImage("JPEG of an arithmetic-coded, lossless or hierarchical kind")
        if code in _SOF and width is None:
            _, height, width = _unpack(">BHH", data, at + 2, "JPEG")
        elif code == _APP1 and (block := jpeg_block(view[at + 2 : end])) is not None:
            exif.append(block)
        elif code == _SOS:
            if width is None or height is None:
                raise InvalidImage("damaged JPEG: its image data comes before its size")
            _check_scans(_scans(data, end), width * height)
            return ImageHeader("JPEG", width, height, orientation_of(exif))
        at = max(end, at + 2)
    raise InvalidImage(f"JPEG of more than {_MAX_SEGMENTS} segments")


def _check_scans(scans: int, pixels: int) -> None:
    most = min(_MAX_SCANS, max(_MAX_LARGE_SCANS, _MAX_LARGE_SCANS * MAX_PIXELS // max(1, pixels)))
    if scans > most:
        raise InvalidImage(f"JPEG of {scans} scans: more than {most} scans of {pixels} pixels take too long")


def _scans(data: bytes, first: int) -> int:
    """How many scans there are up to the end of the image, as decoders walk: `first` is where the first one's data is.

    Segments are stepped over, as a thumbnail in one has scans and an end of its own, and nothing after the end counts:
    phones append videos.
    """
    values = np.frombuffer(data, np.uint8)[first:]
    places = np.flatnonzero(np.equal(values[:-1], 0xFF) & _ENDS_SCAN[values[1:]])
    scans, at = 1, 0
    for _ in range(_MAX_SEGMENTS):
        next_marker = int(np.searchsorted(places, at))
        if next_marker == len(places):
            raise InvalidImage("truncated JPEG: it has no end-of-image marker")
        at = int(places[next_marker]) + 2
        code = int(values[at - 1])
        if code == _EOI:
            return scans
        scans += code == _SOS
        if code >= min(_SOF) and code not in _STANDALONE:  # what is below is reserved and has no length
            at += max(2, int.from_bytes(values[at : at + 2].tobytes(), "big"))
    raise InvalidImage(f"JPEG of more than {_MAX_SEGMENTS} segments after its first scan")


def _markers(data: bytes, code: int) -> int:
    """How often a marker occurs, at most: a segment may hold the same two bytes. Five times as fast as bytes.count."""
    values = np.frombuffer(data, np.uint8)
    return int(np.count_nonzero(np.equal(values[:-1], 0xFF) & np.equal(values[1:], code)))


def _png(data: bytes) -> ImageHeader:
    if data[8:16] != b"\0\0\0\x0dIHDR":
        raise InvalidImage("damaged PNG: it does not begin with its IHDR chunk")
    width, height = _unpack(">II", data, 16, "PNG")
    view = memoryview(data)
    exif = [view[begin:end] for name, begin, end in png.chunks(data) if name == b"eXIf"]
    return ImageHeader("PNG", width, height, orientation_of(exif))


def _webp(data: bytes) -> ImageHeader:
    if len(data) < 12 + 8:
        raise InvalidImage("truncated WebP: it ends within its header")
    view = memoryview(data)
    exif = [view[begin:end] for name, begin, end in webp.chunks(data) if name == b"EXIF"]
    width, height = _webp_size(data)
    return ImageHeader("WebP", width, height, orientation_of(exif))


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height by the first chunk: the canvas (VP8X), or the only image, lossy (VP8) or lossless (VP8L)."""
    name = data[12:16]
    if name == b"VP8X":
        low_width, high_width, low_height, high_height = _unpack("<HBHB", data, 24, "WebP")
        return (high_width << 16 | low_width) + 1, (high_height << 16 | low_height) + 1
    if name == b"VP8L" and data[20:21] == b"\x2f":
        (bits,) = _unpack("<I", data, 21, "WebP")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if name == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":  # the start code of a key frame, RFC 6386 section 9.1
        width, height = _unpack("<HH", data, 26, "WebP")
        return width & 0x3FFF, height & 0x3FFF
    raise InvalidImage("damaged WebP: it does not begin with an image or a canvas")


def _bmp(data: bytes) -> ImageHeader:
    offset, header_size = _unpack("<II", data, 10, "BMP")
    if header_size == 12:  # BITMAPCOREHEADER
        width, height, _, bits = _unpack("<HHHH", data, 18, "BMP")
        compression = image_size = 0
    else:
        width, height, _, bits, compression, image_size = _unpack("<iiHHII", data, 18, "BMP")
    height = abs(height)  # negative: the rows are stored top-down
    if offset < 14 + header_size:
        raise InvalidImage("damaged BMP: its pixel data begins within its header")
    if compression not in (1, 2):  # RLE8 and RLE4 say their own size; rows are padded to four bytes
        image_size = (width * bits + 31) // 32 * 4 * height
    if offset + image_size > len(data):
        raise InvalidImage(f"truncated BMP: its header asks for {offset + image_size} bytes, {len(data)} came")
    return ImageHeader("BMP", width, height, 1)


def _unpack(layout: str, data: bytes, at: int, kind: Kind) -> tuple[int, ...]:
    if at + struct.calcsize(layout) > len(data):
        raise InvalidImage(f"truncated {kind}: it ends within its header")
    return struct.unpack_from(layout, data, at)
