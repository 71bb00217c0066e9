"""A PNG of any colour type, bit depth and transparency is the picture that the specification describes, over white."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegate_client.imaging.image import decode
from support.exact_images import CHANNELS, png_of_samples
from support.made_images import png_chunk

DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
KINDS = [(colour, bits) for colour, depths in DEPTHS.items() for bits in depths]


def over_white(samples: NDArray[np.int64], bits: int, colour: int, palette: bytes, clear: bytes) -> NDArray[np.float64]:
    """What a PNG's samples show on a white page, BGR, not rounded. `clear` is the content of its tRNS chunk."""
    most = (1 << bits) - 1
    alpha = np.ones(samples.shape[:2])
    if colour == 3:
        entries = np.frombuffer(palette, np.uint8).reshape(-1, 3)
        alphas = np.full(len(entries), 255)
        alphas[: len(clear)] = list(clear)
        rgb, alpha = entries[samples[..., 0]].astype(float), alphas[samples[..., 0]] / 255
    elif colour in (4, 6):
        rgb, alpha = samples[..., :-1] * (255 / most), samples[..., -1] / most
    else:
        rgb = samples * (255 / most)
        if clear:
            alpha = 1.0 - (samples == np.frombuffer(clear, ">u2") & most).all(axis=-1)
    return (rgb * alpha[..., None] + 255 * (1 - alpha[..., None]))[..., ::-1] * np.ones(3)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    transparent=st.booleans(),
    adam7=st.booleans(),
    stray_bits=st.booleans(),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_kind_is_what_the_specification_shows_over_white(
    kind: tuple[int, int], transparent: bool, adam7: bool, stray_bits: bool, size: tuple[int, int], seed: int
) -> None:
    colour, bits = kind
    random, most = np.random.default_rng(seed), (1 << bits) - 1
    samples = random.integers(0, most + 1, (*size, CHANNELS[colour]))
    palette, clear, before = b"", b"", b""
    if colour == 3:
        palette = random.bytes(3 * (most + 1))
        before = png_chunk(b"PLTE", palette)
    if transparent and colour == 3:
        clear = random.bytes(int(random.integers(1, most + 2)))
    elif transparent and colour in (0, 2):
        key = samples[0, 0]
        near = key.copy()  # in 16 bits the closest other value is not transparent
        near[-1] ^= 1
        samples[random.random(size) < 0.3] = key
        samples[random.random(size) < 0.3] = near
        clear = (key | (0xFF00 & ~most if stray_bits else 0)).astype(">u2").tobytes()
    if clear:
        before += png_chunk(b"tRNS", clear)
    image = decode(png_of_samples(samples, bits, colour, before=before, adam7=adam7))
    assert np.abs(image - over_white(samples, bits, colour, palette, clear)).max() <= 1


GREY = np.arange(12).reshape(3, 4, 1)
CLEAR = png_chunk(b"tRNS", b"\0\5")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (png_chunk(b"tRNS", b"\5"), b""),
        (png_chunk(b"tRNS", b"\0\5\0\5\0\5"), b""),
        (CLEAR[:-1] + bytes([CLEAR[-1] ^ 1]), b""),  # a wrong checksum
        (b"", CLEAR),
    ],
)
def test_a_trns_chunk_that_libpng_ignores_makes_nothing_transparent(before: bytes, after: bytes) -> None:
    data = png_of_samples(GREY, 8, 0, before=before, after=after)
    assert np.array_equal(decode(data)[..., 0], GREY[..., 0])


def test_of_two_trns_chunks_the_first_counts() -> None:
    data = png_of_samples(GREY, 8, 0, before=CLEAR + png_chunk(b"tRNS", b"\0\6"))
    assert decode(data)[..., 0].reshape(-1)[[5, 6]].tolist() == [255, 6]


def test_a_colour_beyond_a_short_palette_is_black() -> None:
    data = png_of_samples(np.array([[[0], [1], [2]]]), 8, 3, before=png_chunk(b"PLTE", bytes(range(100, 106))))
    assert decode(data)[0].tolist() == [[102, 101, 100], [105, 104, 103], [0, 0, 0]]
