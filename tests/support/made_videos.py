"""Small videos whose frames say which they are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

STEP = 8  # between the grey levels of two frames: far more than any codec is off


def picture(number: int, width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    """Grey by `number` (modulo 30), with a red top left quarter: BGR."""
    pixels = np.full((height, width, 3), number % 30 * STEP, np.uint8)
    pixels[: height // 2, : width // 2] = (0, 0, 255)
    return pixels


def number_of(pixels: NDArray[np.uint8]) -> int:
    """Of an upright frame of `picture`: which it is, modulo 30."""
    return round(float(pixels[-20:, -20:].mean()) / STEP)


def write_video(
    to: Path | io.BytesIO,
    frames: int = 25,
    *,
    fps: int = 25,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    form: str | None = None,
    turned: float | None = None,
    options: dict[str, str] | None = None,
) -> Any:
    """`to`, with `frames` of `picture` in it, each tenth a key frame. `turned`: degrees anticlockwise, only told."""
    target: Any = str(to) if isinstance(to, Path) else to
    with av.open(target, "w", format=form, options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = 10
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        if turned is not None:
            stream.set_display_rotation(turned)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), "bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return to
