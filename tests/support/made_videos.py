"""Small videos whose frames say which they are."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
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
    sar: Fraction | None = None,
    held_s: float = 0.0,
    options: dict[str, str] | None = None,
) -> Any:
    """`to`, with `frames` of `picture` in it, each tenth a key frame.

    `turned`: degrees anticlockwise, only told. `sar`: a pixel's width by its height. The last is shown for `held_s`
    more.
    """
    target: Any = str(to) if isinstance(to, Path) else to
    with av.open(target, "w", format=form, options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = 10
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        if sar is not None:
            stream.codec_context.sample_aspect_ratio = sar
        if turned is not None:
            stream.set_display_rotation(turned)
        packets = []
        for number in range(frames):
            packets += stream.encode(av.VideoFrame.from_ndarray(picture(number, *size), "bgr24"))
        packets += stream.encode()
        for number, packet in enumerate(packets):
            if held_s and packet.time_base:
                held = held_s if number == frames - 1 else 0
                packet.duration = round((1 / fps + held) / packet.time_base)
            container.mux(packet)
    return to


def with_matrix(mp4: bytes, *matrix: float) -> bytes:
    """The MP4 file, to be shown by a, b, c, d of x' = a x + c y, y' = b x + d y: ISO 14496-12, section 6.2.2."""
    a, b, c, d = (max(-(2**31), min(2**31 - 1, round(each * 0x10000))) for each in matrix)
    upright = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    at = mp4.index(upright, mp4.index(b"tkhd"))
    return mp4[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000) + mp4[at + 36 :]
