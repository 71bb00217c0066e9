"""Image files read and written for drawing. Needs OpenCV: the extra `draw`.

The server turns JPEG, PNG and WebP upright by their EXIF orientation, and so must whoever draws its boxes. OpenCV does
so for the first two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate_client.errors import BadImage

_ORIENTATION = 0x0112  # EXIF 2.32, section 4.6.4
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # after the transposition; OpenCV: 1 left-right, 0 top-bottom, -1 both


def decode(data: bytes, name: str = "image") -> NDArray[np.uint8]:
    """An image file's pixels, uint8 [height, width, 3], BGR, upright as in the server; transparency is left out.

    Raises BadImage where OpenCV cannot decode it, and ImportError without OpenCV.
    """
    cv2 = opencv()
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    mode = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if webp else 0)  # whatever a later OpenCV does
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error:
        picture = None
    if picture is None:
        raise BadImage(f"{name}: OpenCV cannot decode it")
    orientation = _webp_orientation(data) if webp else 1
    if 5 <= orientation <= 8:
        picture = cv2.transpose(picture)
    if orientation in _FLIPS:
        picture = cv2.flip(picture, _FLIPS[orientation])
    return np.asarray(picture, np.uint8)


def encode(picture: NDArray[np.uint8], suffix: str) -> bytes:
    """An image file of the kind that `suffix` (".png", ".jpg") names; raises ValueError where it names none."""
    cv2 = opencv()
    try:
        written, data = cv2.imencode(suffix.lower(), picture)
    except cv2.error:
        written, data = False, None
    if not written:
        raise ValueError(f"cannot write a picture as {suffix!r}; use .png or .jpg")
    return bytes(data)


def opencv() -> Any:
    """The module cv2, imported only when something is drawn; raises ImportError naming the extra."""
    try:
        import cv2
    except ImportError as error:
        raise ImportError("drawing needs OpenCV: pip install 'facegate-client[draw]'") from error
    return cv2


def _webp_orientation(data: bytes) -> int:
    at = 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind == b"EXIF":
            return _tiff_orientation(data[at + 8 : at + 8 + size].removeprefix(b"Exif\0\0"))
        at += 8 + size + size % 2
    return 1


def _tiff_orientation(tiff: bytes) -> int:
    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], "little" if tiff[:2] == b"II" else "big")

    directory = number(4, 4)
    for entry in range(directory + 2, directory + 2 + 12 * number(directory, 2), 12):
        if number(entry, 2) == _ORIENTATION:
            return number(entry + 8, 2)
    return 1
