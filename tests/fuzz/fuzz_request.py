"""Fuzzes what reads a request: python -m tests.fuzz.fuzz_request FOLDER [libFuzzer's flags]

An input's first byte says which function gets the rest.
"""

from __future__ import annotations

import math
import struct
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.fuzz.harness import fuzz, instrumented

with instrumented(__name__ == "__main__"):
    from facegate_ensemble.errors import RequestError
    from facegate_ensemble.policy import UNRESTRICTED
    from facegate_ensemble.triton.request import (
        analyze_parameters,
        read_faces,
        read_image,
        read_parameters,
        verify_parameters,
    )
from facegate.packs.pack_file import read_toml
from facegate.packs.shipped import FOLDER
from facegate_client.contract import LEAST_FACE_IN, MAX_FACES_LIMIT, MAX_PIXELS, MAX_SIDE, Code

PACK: Any = SimpleNamespace(
    **{
        name: SimpleNamespace(**table)
        for name, table in read_toml(FOLDER / "mobileface.toml").items()
        if name in ("detector", "recognizer")
    }
)
KNOWN = (analyze_parameters(PACK), verify_parameters(PACK, UNRESTRICTED))


def target(data: bytes) -> None:
    """A value as documented, or INVALID_ARGUMENT in one line; anything else is a finding."""
    kind, rest = data[:1], data[1:]
    try:
        if kind in (b"a", b"v"):
            parameters(rest.decode(errors="replace"), KNOWN[kind == b"v"])
        elif kind == b"i":
            image(rest)
        else:
            faces(rest)
    except RequestError as error:
        assert error.code is Code.INVALID_ARGUMENT
        assert str(error).isprintable()


def parameters(text: str, known: dict[str, Any]) -> None:
    values = read_parameters(text, known)
    assert values.keys() == known.keys()
    for name, value in values.items():
        assert type(value) is known[name].kind or (value is None and known[name].default is None)
        if known[name].kind in (int, float):
            assert math.isfinite(value) and known[name].least <= value <= known[name].most


def image(data: bytes) -> None:
    """Flags of the inputs that are given, the frame's shape, and the bytes that are its pixels or the file."""
    flags, data = data[:1] or b"\0", data[1:]
    suffix = ("", "_1")[flags[0] >> 3 & 1]
    shape = np.frombuffer(data[:8].ljust(8, b"\0"), "<i4").astype(np.int32)
    inputs: dict[str, Any] = {
        "IMAGE": np.array([data], dtype=np.object_).reshape((1,) * (1 + (flags[0] >> 4 & 1))),
        "FRAME": np.frombuffer(data[8:], np.uint8),
        "FRAME_SHAPE": shape.reshape((2,) if flags[0] & 32 else (1, 2)),
    }
    given = {name + suffix: value for bit, (name, value) in enumerate(inputs.items()) if flags[0] >> bit & 1}
    result = read_image(given, suffix)
    height, width, channels = result.shape
    assert channels == 3 and result.dtype == np.uint8 and result.flags.c_contiguous
    assert 1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and height * width <= MAX_PIXELS
    if "FRAME" + suffix in given:
        assert (height, width) == tuple(shape) and result.tobytes() == data[8:]


def faces(data: bytes) -> None:
    """The image's size, and FACES_IN."""
    height, width = (1 + side % MAX_SIDE for side in struct.unpack("<HH", data[:4].ljust(4, b"\0")))
    result = read_faces(np.frombuffer(data[4:], np.uint8), height, width)
    assert len(result) * 56 == len(data[4:]) <= MAX_FACES_LIMIT * 56
    assert result.boxes.shape == (len(result), 4) and result.landmarks.shape == (len(result), 5, 2)
    assert result.boxes.dtype == result.landmarks.dtype == result.scores.dtype == np.float32
    assert (result.scores == 1).all() and np.isfinite(result.boxes).all() and np.isfinite(result.landmarks).all()
    boxes, limits = result.boxes.astype(np.float64), np.array([width, height], np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    seen = np.clip(boxes[:, 2:], 0, limits) - np.clip(boxes[:, :2], 0, limits)
    assert (sides > LEAST_FACE_IN * 0.999).all()  # in double precision, to which the check's single may be rounded up
    assert (seen.prod(axis=1) >= sides.prod(axis=1) * 0.499).all()


if __name__ == "__main__":
    fuzz(target, lambda _: 1.0, 4096)
