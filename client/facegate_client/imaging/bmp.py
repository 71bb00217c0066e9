"""The pixels of BMP files with channel masks or 16 bits.

OpenCV 4.11 ignores the masks after a 40-byte or within a 52-byte header at 32 bits, refuses most at 16 bits, ignores a
declared alpha channel, and leaves the low bits of 5- and 6-bit channels zero, so that white is 248. All of that is
decoded here. Palettes, 24 bits and 32 bits without masks are decoded by OpenCV.

Layouts: Microsoft's BITMAPINFOHEADER, BITMAPV4HEADER and BITMAPV5HEADER; the 52- and 56-byte headers that Adobe wrote.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from facegate_client.imaging.errors import InvalidImage

_BI_RGB, _BI_BITFIELDS, _BI_ALPHABITFIELDS = 0, 3, 6
_MASKS_AT = 14 + 40  # after a BITMAPINFOHEADER, and within each longer header
_SHORTEST_READ = 36  # bytes; of shorter headers OpenCV decodes OS/2's, without masks and 16 bits, and refuses others
_555 = (0x7C00, 0x03E0, 0x001F, 0)  # of 16 bits without masks: red, green, blue, alpha
_HEADERS_WITH_ALPHA = frozenset((56, 108, 124))
_HEADERS_WITH_MASKS = _HEADERS_WITH_ALPHA | {40, 52}


def masked_pixels(data: bytes, width: int, height: int) -> NDArray[np.uint8] | None:
    """UINT8 [height, width, 3 or 4], BGR or BGRA, of a BMP with 16 bits or channel masks; None of any other BMP.

    `data` has passed `read_header`. Alpha that is zero everywhere counts as unused, as in browsers: some writers
    declare it and leave it empty. Raises InvalidImage for masks that select no bits or bits that are not adjacent.
    """
    offset, header_size = struct.unpack_from("<II", data, 10)
    if header_size < _SHORTEST_READ:
        return None
    stored_height, bits, compression = struct.unpack_from("<i2xHI", data, 22)
    if compression in (_BI_BITFIELDS, _BI_ALPHABITFIELDS):
        masks = _masks(data, header_size, bits, compression)
    elif compression == _BI_RGB and bits == 16:
        masks = _555
    else:
        return None
    stride = (width * bits + 31) // 32 * 4
    rows = np.frombuffer(data, np.uint8, stride * height, offset).reshape(height, stride)
    values = rows.view("<u2" if bits == 16 else "<u4")[:: -1 if stored_height > 0 else 1, :width]
    red, green, blue, alpha = (_channel(values, mask) for mask in masks)
    return np.dstack((blue, green, red, alpha) if alpha.any() else (blue, green, red))


def _masks(data: bytes, header_size: int, bits: int, compression: int) -> tuple[int, ...]:
    """Red's, green's, blue's and alpha's masks; alpha's is 0 where it is not declared."""
    if header_size not in _HEADERS_WITH_MASKS or bits not in (16, 32):
        raise InvalidImage(f"BMP of {bits} bits and compression {compression} in a header of {header_size} bytes")
    count = 4 if compression == _BI_ALPHABITFIELDS or header_size in _HEADERS_WITH_ALPHA else 3
    (offset,) = struct.unpack_from("<I", data, 10)
    if offset < _MASKS_AT + 4 * count:
        raise InvalidImage("damaged BMP: its pixel data begins within its channel masks")
    masks = struct.unpack_from(f"<{count}I", data, _MASKS_AT)
    runs = [mask // (mask & -mask) if mask else 0 for mask in masks]
    if not any(masks[:3]) or any(mask >> bits or run & (run + 1) for mask, run in zip(masks, runs, strict=True)):
        shown = ", ".join(f"{mask:#x}" for mask in masks)
        raise InvalidImage(f"BMP whose channel masks ({shown}) are not runs of bits within {bits} bits")
    return (*masks, 0)[:4]


def _channel(values: NDArray[np.uint16 | np.uint32], mask: int) -> NDArray[np.uint8]:
    """One channel, scaled to 0-255 and rounded; zero where its mask is."""
    if mask == 0:
        return np.zeros(values.shape, np.uint8)
    lowest = mask & -mask
    samples = (values & values.dtype.type(mask)) >> (lowest.bit_length() - 1)
    most = mask // lowest
    return (samples if most == 255 else np.rint(samples * (255 / most))).astype(np.uint8)
