r"""The EXIF orientation of an image file: which tag counts, and which values are read.

- The orientation is the tag 0x0112 of IFD0, a block's first directory. IFD1 describes the thumbnail, XMP is not EXIF:
  both are ignored.
- The first tag with a value counts: within IFD0, over several EXIF segments of a JPEG (XMP may stand between them), and
  over several EXIF chunks of a PNG or WebP. A block that is damaged or has no such tag decides nothing.
- A value outside 1 to 8 means upright. No later tag replaces it.
- A value is of any integer type: BYTE, SHORT, LONG, their signed kinds, UNDEFINED and IFD. Of several values the first
  counts. A tag of another type, of no value, or whose values lie outside the block is skipped.
- In a JPEG, `Exif\0` in any case, after at most four stray bytes, and one more byte begin a block. In PNG and WebP a
  block is bare; a prefix `Exif\0\0`, which some writers add, is skipped.

Files made for each rule have the same orientation in exiftool 12.57. exiftool differs in these cases, all of them rare:
it also reads text, rationals and floating-point numbers, a TIFF structure with another number than 42 in its header,
and a PNG's textual "Raw profile type exif". It takes a tag without values for the first, stops at a damaged directory
entry, skips a PNG's second EXIF chunk, and reports the tag of another directory, or XMP's, where IFD0 has none.

Layout: EXIF 2.32 (CIPA DC-008), section 4.6, and TIFF 6.0, section 2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from itertools import islice

_ORIENTATION = 0x0112
_FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I"}  # TIFF 6.0's types, as struct has them
_MAX_BLOCKS = 16  # that are searched; cameras write one
_MAX_TAGS = 512  # of a directory; they are sorted by number, and 0x0112 is among the first

_JPEG_PREFIX = re.compile(rb".{0,4}?Exif\0.", re.IGNORECASE | re.DOTALL)
_PREFIX = b"Exif\0\0"


def jpeg_block(segment: memoryview) -> memoryview | None:
    """Returns the TIFF structure of an APP1 segment's content, or None when it is not an EXIF segment."""
    prefix = _JPEG_PREFIX.match(segment)
    return None if prefix is None else segment[prefix.end() :]


def orientation_of(blocks: Iterable[memoryview]) -> int:
    """Returns the orientation, 1 to 8, that the EXIF blocks of a file state, in the order of the file; 1 without one.

    Damaged EXIF is no reason to refuse a photo: this raises nothing.
    """
    values = map(_orientation, islice(blocks, _MAX_BLOCKS))
    value = next((value for value in values if value is not None), 1)
    return value if 1 <= value <= 8 else 1


def _orientation(block: memoryview) -> int | None:
    """The first value of the first orientation tag in IFD0 of a TIFF structure; None where it has none."""
    if block[: len(_PREFIX)] == _PREFIX:
        block = block[len(_PREFIX) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
    if order is None or len(block) < 8:
        return None
    (directory,) = struct.unpack_from(order + "I", block, 4)
    if directory + 2 > len(block):
        return None
    (tags,) = struct.unpack_from(order + "H", block, directory)
    first = directory + 2
    for at in range(first, min(first + 12 * min(tags, _MAX_TAGS), len(block) - 11), 12):
        tag, kind, count = struct.unpack_from(order + "HHI", block, at)
        if tag == _ORIENTATION and kind in _FORMATS and count > 0:
            layout = order + _FORMATS[kind]
            size = struct.calcsize(layout) * count
            value_at = at + 8 if size <= 4 else struct.unpack_from(order + "I", block, at + 8)[0]
            if value_at + size <= len(block):
                return int(struct.unpack_from(layout, block, value_at)[0])
    return None
