"""Decodes image files.

Images are UINT8 [height, width, 3], BGR, upright. Limits come first: nothing is decoded that they refuse.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate_client.contract import MAX_IMAGE_BYTES, size_error
from facegate_client.imaging.bmp import masked_pixels
from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.header import ImageHeader, Kind, read_header
from facegate_client.imaging.png import essentials, transparent_grey
from facegate_client.imaging.webp import first_image, is_animation

Image = NDArray[np.uint8]

# JPEG has neither transparency nor 16 bits, and OpenCV turns grey and CMYK to BGR itself. A BMP is read in colour too:
# unchanged, OpenCV 4.11 makes an OS/2 one grey, and without a mask for alpha a BMP's fourth byte is padding.
# Unchanged keeps transparency and 16 bits, and ignores the orientation by itself.
_READ_AS = {
    "JPEG": cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    "BMP": cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    "PNG": cv2.IMREAD_UNCHANGED,
    "WebP": cv2.IMREAD_UNCHANGED,
}

_BAND = 1 << 16  # pixels; a band and what becomes of it stay within a core's cache


def decode(data: bytes | memoryview) -> Image:
    """An encoded JPEG, PNG, WebP or BMP file as UINT8 [height, width, 3], BGR, upright by its EXIF, contiguous.

    Transparency lies over white; 16 bits become 8; of an animation it is the first image. Raises InvalidImage for
    all that is not a whole image of these kinds within MAX_IMAGE_BYTES, MAX_PIXELS and MAX_SIDE.
    """
    size = memoryview(data).nbytes
    if size == 0:
        raise InvalidImage("empty")
    if size > MAX_IMAGE_BYTES:
        raise InvalidImage(f"{size} bytes; the limit is {MAX_IMAGE_BYTES}")
    data = bytes(data)
    header = read_header(data)
    check_size(header.height, header.width)
    image = _animations_first(data, header) if _animated(data, header) else _still(data, header)
    if image.shape[:2] != (header.height, header.width):
        got = f"{image.shape[1]} x {image.shape[0]}"
        raise InvalidImage(
            f"damaged {header.kind}: its header says {header.width} x {header.height}, its data is {got}"
        )
    return _upright(image, header.orientation)


def check_size(height: int, width: int) -> None:
    """Raises InvalidImage for a size over the contract's limits."""
    if error := size_error(width, height):
        raise InvalidImage(error)


def _animated(data: bytes, header: ImageHeader) -> bool:
    return header.kind == "WebP" and is_animation(data)


def _still(data: bytes, header: ImageHeader) -> Image:
    if header.kind == "BMP":
        pixels = masked_pixels(data, header.width, header.height)
        return _bgr(_pixels(data, "BMP") if pixels is None else pixels)
    return _bgr(_pixels(data, header.kind), transparent_grey(data) if header.kind == "PNG" else None)


def _animations_first(data: bytes, header: ImageHeader) -> Image:
    """Its first frame on a white page of the canvas's size."""
    frame = first_image(data, header.width, header.height)
    image = _bgr(_pixels(frame.file, header.kind))
    if image.shape[:2] != (frame.height, frame.width):
        raise InvalidImage("damaged WebP: its first frame is of another size than it says")
    if image.shape[:2] == (header.height, header.width):
        return image
    page = np.full((header.height, header.width, 3), 255, np.uint8)
    page[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width] = image
    return page


def _pixels(data: bytes, kind: Kind) -> NDArray[np.uint8 | np.uint16]:
    if kind == "PNG":
        data = essentials(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _READ_AS[kind])
    except cv2.error:
        image = None
    if image is None:
        raise InvalidImage(f"cannot be decoded: the header of this {kind} is fine, its data is not")
    return cast("NDArray[np.uint8 | np.uint16]", image)


def _bgr(pixels: NDArray[np.uint8 | np.uint16], clear: int | None = None) -> Image:
    """Pixels as opaque BGR; the grey value `clear` is transparent.

    In bands of rows, for the sake of memory: at 40 megapixels each step's whole result would be 120 MB or more.
    """
    if pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3:
        return cast(Image, pixels)
    height, width = pixels.shape[:2]
    image, rows = np.empty((height, width, 3), np.uint8), max(1, _BAND // width)
    for top in range(0, height, rows):
        image[top : top + rows] = _band(pixels[top : top + rows], clear)
    return image


def _band(pixels: NDArray[np.uint8 | np.uint16], clear: int | None) -> Image:
    # Transparency first: a sample of 16 bits is compared and mixed before it is rounded to 8.
    if clear is not None:
        pixels = np.where(np.equal(pixels, clear), pixels.dtype.type(_white(pixels)), pixels)
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = _over_white(pixels)
    # v / 257, rounded, is the nearest of 8 bits and undoes PNG's v * 257 (third edition, 13.12); v >> 8 only truncates
    image = cast(Image, pixels if pixels.dtype == np.uint8 else cv2.convertScaleAbs(pixels, alpha=1 / 257))
    return image if image.ndim == 3 else cast(Image, cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))


def _white(pixels: NDArray[np.uint8 | np.uint16]) -> int:
    return int(np.iinfo(pixels.dtype).max)


def _over_white(image: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint8 | np.uint16]:
    """BGRA on a white page, as viewers and printers show it: colour * alpha + white * (1 - alpha), rounded."""
    colour, alpha = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), cv2.extractChannel(image, 3)
    if cv2.minMaxLoc(alpha)[0] == _white(image):  # opaque, as most alpha is: the arithmetic below would change nothing
        return cast("NDArray[np.uint8 | np.uint16]", colour)
    alpha = cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR)
    mixed = cv2.add(cv2.multiply(colour, alpha, scale=1 / _white(image)), cv2.bitwise_not(alpha))
    return cast("NDArray[np.uint8 | np.uint16]", mixed)


def _upright(image: Image, orientation: int) -> Image:
    """Undo EXIF's orientation, which says where the stored row 0 and column 0 belong (EXIF 2.32, section 4.6.4)."""
    upright = image if orientation < 5 else cv2.transpose(image)  # 5 to 8 lie on their side
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)  # OpenCV: 1 left-right, 0 top-bottom, -1 both
    return cast(Image, upright if flip is None else cv2.flip(upright, flip))
