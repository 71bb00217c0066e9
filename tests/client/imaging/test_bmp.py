"""A BMP's channel masks decide its colours; masks that mean nothing are refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.image import decode
from support.exact_images import RGBX, masked_bmp
from support.made_images import bmp_of

COLOUR = {
    32: [
        RGBX,
        (0xFF0000, 0xFF00, 0xFF),
        (0xFF000000, 0xFF0000, 0xFF00),
        (0xFF, 0xFF0000, 0xFF00),
        (0x3FF00000, 0xFFC00, 0x3FF),
        (0xF0000000, 0x1F0, 0x7),
    ],
    16: [(0x7C00, 0x3E0, 0x1F), (0xF800, 0x7E0, 0x1F), (0x1F, 0x7E0, 0xF800), (0xF00, 0xF0, 0xF), (0xFF, 0xFF00, 0)],
}
ALPHA = {32: [(*RGBX, 0xFF000000), (0xFF0000, 0xFF00, 0xFF, 0xFF000000)], 16: [(0x7C00, 0x3E0, 0x1F, 0x8000)]}
HEADERS = [(40, 3), (40, 6), (52, 3), (56, 3), (108, 3), (124, 3)]


def over_white(bgra: NDArray[np.uint8], masks: tuple[int, ...]) -> NDArray[np.float64]:
    """The pixels as channels of so many bits hold them, on a white page."""
    channels = []
    for mask, channel in zip((*masks, 0)[:4], (2, 1, 0, 3), strict=True):
        most = mask // (mask & -mask) if mask else 0
        channels.append(np.rint(bgra[..., channel] * (most / 255)) * (255 / most) if most else 0 * bgra[..., channel])
    red, green, blue, alpha = channels
    alpha = alpha / 255 if len(masks) == 4 else np.ones_like(alpha, float)
    return np.dstack([channel * alpha + 255 * (1 - alpha) for channel in (blue, green, red)])


@settings(max_examples=150, deadline=None)
@given(
    bits=st.sampled_from([16, 32]),
    masks=st.integers(0, 5),
    header=st.sampled_from(HEADERS),
    alpha=st.booleans(),
    top_down=st.booleans(),
    gap=st.sampled_from([b"", bytes(7)]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**32 - 1),
)
def test_masks_are_honoured_in_every_header(
    bits: int,
    masks: int,
    header: tuple[int, int],
    alpha: bool,
    top_down: bool,
    gap: bytes,
    size: tuple[int, int],
    seed: int,
) -> None:
    known = COLOUR[bits]
    with_alpha = alpha and header not in ((40, 3), (52, 3))
    chosen = ALPHA[bits][masks % len(ALPHA[bits])] if with_alpha else known[masks % len(known)]
    bgra = np.random.default_rng(seed).integers(0, 256, (*size, 4), np.uint8)
    bgra[0, 0, 3] = 255
    stored = (*chosen, 0)[:4] if header[1] == 6 else chosen
    data = masked_bmp(bgra, stored, bits=bits, header=header[0], compression=header[1], top_down=top_down, gap=gap)
    image = decode(data)
    assert image.flags.c_contiguous
    assert np.abs(image - over_white(bgra, chosen)).max() <= 1


@pytest.mark.parametrize("header", [36, 40, 52, 64, 108, 124])
def test_sixteen_bits_without_masks_reach_white(header: int) -> None:
    bgra = np.random.default_rng(header).integers(0, 256, (5, 7, 4), np.uint8)
    bgra[0, 0] = 255
    data = masked_bmp(bgra, (0x7C00, 0x3E0, 0x1F), bits=16, header=header, compression=0)
    assert np.abs(decode(data) - over_white(bgra, (0x7C00, 0x3E0, 0x1F))).max() <= 1
    assert decode(data)[0, 0].tolist() == [255, 255, 255]


def test_alpha_that_is_zero_everywhere_is_unused() -> None:
    bgra = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    bgra[..., 3] = 0
    assert np.array_equal(decode(masked_bmp(bgra, (*RGBX, 0xFF000000), header=108)), bgra[..., :3])


BLACK = np.zeros((2, 2, 4), np.uint8)
MEANINGLESS = {
    "no bits": (masked_bmp(BLACK, (0, 0, 0)), "channel masks"),
    "bits apart": (masked_bmp(BLACK, (0xF0F0, 0xFF0000, 0xFF000000)), "channel masks"),
    "more bits than a pixel": (masked_bmp(BLACK, (0xFF0000, 0xFF00, 0xFF), bits=16), "channel masks"),
    "a header without masks": (masked_bmp(BLACK, RGBX, header=64), "compression 3"),
    "a header that ends before its masks": (masked_bmp(BLACK, RGBX, header=36), "compression 3"),
    "24 bits": (bmp_of(24, 2, 2, compression=3), "compression 3"),
    "no room for masks": (bmp_of(32, 2, 2, compression=3), "within its channel masks"),
}


@pytest.mark.parametrize("name", MEANINGLESS)
def test_masks_that_mean_nothing_are_refused(name: str) -> None:
    data, why = MEANINGLESS[name]
    with pytest.raises(InvalidImage, match=why):
        decode(data)


@pytest.mark.parametrize("offset", [0, 14, 30, 53])
def test_pixel_data_that_begins_within_the_header_is_refused(offset: int) -> None:
    data = bmp_of(24, 5, 5)
    with pytest.raises(InvalidImage, match="begins within its header"):
        decode(data[:10] + struct.pack("<I", offset) + data[14:])


@pytest.mark.parametrize("offset", [2**31, 2**32 - 1])
def test_pixel_data_beyond_the_file_is_refused(offset: int) -> None:
    for data in (bmp_of(24, 5, 5), masked_bmp(np.zeros((5, 5, 4), np.uint8), RGBX)):
        with pytest.raises(InvalidImage, match="truncated BMP"):
            decode(data[:10] + struct.pack("<I", offset) + data[14:])


@given(st.integers(0, 90))
def test_a_truncated_file_with_masks_is_refused(kept: int) -> None:
    with pytest.raises(InvalidImage):
        decode(masked_bmp(np.zeros((3, 3, 4), np.uint8), RGBX)[:kept])
