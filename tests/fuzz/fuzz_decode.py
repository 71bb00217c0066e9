"""Fuzzes `facegate_client.imaging.image.decode`: python -m tests.fuzz.fuzz_decode FOLDER [libFuzzer's flags]"""

from __future__ import annotations

import numpy as np

from tests.fuzz.harness import fuzz, instrumented

with instrumented(__name__ == "__main__"):
    from facegate_client.imaging.errors import InvalidImage
    from facegate_client.imaging.header import read_header
    from facegate_client.imaging.image import decode
from facegate_client.contract import MAX_PIXELS, MAX_SIDE
from tests.fuzz.mutations import mutate

LARGE = MAX_PIXELS // 2


def target(data: bytes) -> None:
    """An image within the limits, or InvalidImage in one line; anything else is a finding."""
    try:
        image = decode(data)
    except InvalidImage as error:
        assert str(error).isprintable()
        return
    height, width, channels = image.shape
    assert channels == 3 and image.dtype == np.uint8 and image.flags.c_contiguous
    assert 1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and height * width <= MAX_PIXELS


def seconds(data: bytes) -> float:
    """A second, and two for what claims to be large: 40 honest megapixels of 16 bits take one and a half."""
    try:
        header = read_header(data)
    except InvalidImage:
        return 1.0
    return 2.0 if LARGE < header.width * header.height <= MAX_PIXELS else 1.0


if __name__ == "__main__":
    fuzz(target, seconds, 65_536, mutate)
