"""From what a caller calls an image to the tensors that carry it."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.errors import BadImage, InvalidRequest, printable
from facegate_client.transport.base import Place, Tensor


@dataclass(frozen=True, slots=True, eq=False)
class SharedFrame:
    """Pixels, uint8 [height, width, 3], BGR, C-contiguous, that lie at `place`, where the server reads them.

    They are sent as any others to a server that was not told of the place.
    """

    pixels: NDArray[np.uint8]
    place: Place


ImageLike = str | PathLike[str] | bytes | bytearray | memoryview | NDArray[np.uint8] | SharedFrame


def image_tensors(image: ImageLike, number: int | None = None) -> list[Tensor]:
    """The input that carries `image`: IMAGE for a file's path or bytes, FRAME and FRAME_SHAPE for pixels.

    Pixels are uint8 [height, width, 3], BGR. `number`, 1 or 2, is the image's in a verification and ends the names.
    Raises BadImage where the limits or the expectations above are broken; what a file holds only the server judges.
    """
    name, suffix = ("image", "") if number is None else (f"image {number}", f"_{number}")
    place = None
    if isinstance(image, SharedFrame):
        place = image.place
        image = image.pixels
    if isinstance(image, np.ndarray):
        check_frame(image, name)
        return [
            Tensor(contract.FRAME + suffix, "UINT8", np.ascontiguousarray(image).reshape(-1), place),
            Tensor(contract.FRAME_SHAPE + suffix, "INT32", np.array(image.shape[:2], np.int32)),
        ]
    if isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
        _check_size(len(data), name)
    elif isinstance(image, str | PathLike):
        data = read_image_file(image, name)
    else:
        raise BadImage(f"{name}: expected a path, a file's bytes or a uint8 array, got {type(image).__name__}")
    return [Tensor(contract.IMAGE + suffix, "BYTES", np.array([data], object))]


def read_image_file(path: str | PathLike[str], name: str = "image") -> bytes:
    """The file's bytes; raises BadImage where it cannot be read, is empty or is over the limit."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(contract.MAX_IMAGE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or error
        raise BadImage(printable(f"{name}: cannot read {path}: {reason}")) from error
    _check_size(len(data), printable(f"{name} ({path})"))
    return data


def check_frame(image: NDArray[Any], name: str = "image") -> None:
    """Raises BadImage unless `image` is uint8 [height, width, 3] with pixels in it and within the limits."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise BadImage(
            f"{name}: expected a uint8 array [height, width, 3] in BGR order, got {image.dtype} {list(image.shape)}"
        )
    if error := contract.size_error(image.shape[1], image.shape[0]):
        raise BadImage(f"{name}: {error}")


def faces_tensor(faces: NDArray[Any]) -> Tensor:
    """FACES_IN from numbers [N, 14]: x1 y1 x2 y2, then the five landmarks' x y, image pixels.

    Raises InvalidRequest on another shape and on values that are not finite in float32.
    """
    values = np.asarray(faces)
    if values.ndim != 2 or values.shape[1] != contract.FACE_IN_VALUES or values.dtype.kind not in "fiu":
        raise InvalidRequest(
            f"faces: expected numbers [N, {contract.FACE_IN_VALUES}], got {values.dtype} {list(values.shape)}"
        )
    with np.errstate(over="ignore"):
        little_endian = np.ascontiguousarray(values, "<f4")
    if not np.isfinite(little_endian).all():
        raise InvalidRequest("faces: expected finite numbers, got NaN or infinity")
    return Tensor(contract.FACES_IN, "UINT8", little_endian.view(np.uint8).reshape(-1))


def _check_size(size: int, name: str) -> None:
    if size == 0:
        raise BadImage(f"{name}: is empty")
    if size > contract.MAX_IMAGE_BYTES:
        raise BadImage(f"{name}: is larger than the limit of {contract.MAX_IMAGE_BYTES // 2**20} MiB")
