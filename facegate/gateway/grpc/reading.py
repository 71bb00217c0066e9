"""FaceService's messages as values: what a request says, checked before anything is done with it."""

from __future__ import annotations

import numpy as np

from facegate.gateway.errors import invalid
from facegate.gateway.faces import Image
from facegate_client import contract
from facegate_client.service import face_service_pb2 as pb


def read_image(image: pb.Image, field: str) -> Image:
    """A file's bytes, or pixels uint8 [height, width, 3]. Raises GatewayError INVALID_ARGUMENT."""
    content = image.WhichOneof("content")
    if content is None:
        raise invalid(field, "expected encoded or frame, got neither")
    if content == "encoded":
        return image.encoded
    return _read_frame(image.frame, f"{field}.frame")


def _read_frame(frame: pb.Frame, field: str) -> Image:
    height, width = frame.height, frame.width
    if height == 0 or width == 0:
        raise invalid(field, f"expected a height and a width above zero, got {height} and {width}")
    if error := contract.size_error(width, height):
        raise invalid(field, error)
    data = frame.bgr
    if len(data) != height * width * 3:
        raise invalid(
            field, f"expected {height * width * 3} bytes, height x width x 3, for {width}x{height}, got {len(data)}"
        )
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)
