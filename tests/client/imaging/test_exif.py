"""Which orientation counts: as exiftool 12.57 says of these files, where it reads an integer of IFD0."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate_client.imaging.header import read_header
from facegate_client.imaging.image import decode
from support.exact_images import (
    MAKER,
    SIX,
    THREE,
    XMP,
    clockwise,
    tag,
    tiff,
    with_app1,
    with_exif_chunks,
    with_webp_chunks,
)
from support.made_images import HEIGHT, WIDTH, picture, png_chunk, saved

JPEG, PNG, WEBP = saved(picture(), "JPEG"), saved(picture(), "PNG"), saved(picture(), "WEBP", lossless=True)
PREFIX = b"Exif\0\0"
NINE = tag(3, b"\x09\0")
TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I"}


def in_jpeg(*blocks: bytes) -> int:
    return read_header(with_app1(JPEG, *(PREFIX + block for block in blocks))).orientation


def in_each(*blocks: bytes) -> set[int]:
    """The orientations of a JPEG, a PNG and a WebP with these EXIF blocks."""
    png, webp = with_exif_chunks(PNG, *blocks), with_webp_chunks(WEBP, WIDTH, HEIGHT, *blocks)
    return {in_jpeg(*blocks), read_header(png).orientation, read_header(webp).orientation}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", TYPES)
def test_any_integer_type_and_the_first_of_several_values(kind: int, order: str) -> None:
    for values in ((6,), (6, 3), (6, 3, 8), (6, 3, 8, 1, 1)):
        value = struct.pack(order + TYPES[kind] * len(values), *values)
        assert in_each(tiff(tag(kind, value, len(values)), order=order)) == {6}


@pytest.mark.parametrize("value", [0, 9, 255, 65535, 65542, 2**31 - 1])
def test_a_value_that_is_no_orientation_means_upright(value: int) -> None:
    assert in_each(tiff(tag(4, struct.pack("<I", value)))) == {1}


def test_a_negative_value_means_upright() -> None:
    assert in_each(tiff(tag(8, struct.pack("<h", -2))), tiff(SIX)) == {1}


@pytest.mark.parametrize(
    ("blocks", "orientation"),
    [
        ([tiff(SIX, THREE)], 6),
        ([tiff(THREE, SIX)], 3),
        ([tiff(NINE, SIX)], 1),
        ([tiff(SIX, NINE)], 6),
        ([tiff(MAKER, SIX)], 6),
        ([tiff(tag(3, b"\3\0", 0), SIX)], 6),  # no value
        ([tiff(tag(3, b"\3\0", 60_000), SIX)], 6),  # values beyond the block's end
        ([tiff(tag(2, b"3\0", 2), SIX)], 6),  # text
        ([tiff(SIX), tiff(THREE)], 6),
        ([tiff(NINE), tiff(SIX)], 1),
        ([tiff(MAKER), tiff(SIX)], 6),
        ([b"II*\0", tiff(SIX)], 6),
        ([b"garbage!", tiff(SIX)], 6),
        ([tiff(SIX), b"garbage!"], 6),
        ([tiff(SIX, thumbnail=True)], 1),
        ([tiff(SIX, thumbnail=True), tiff(THREE)], 3),
        ([tiff(SIX, first_offset=20)], 6),
        ([tiff(MAKER)], 1),
    ],
)
def test_the_first_tag_of_ifd0_with_a_value_counts(blocks: list[bytes], orientation: int) -> None:
    assert in_each(*blocks) == {orientation}


def test_a_prefix_is_skipped_in_png_and_webp() -> None:
    for data in (
        with_exif_chunks(PNG, PREFIX + tiff(SIX)),
        with_webp_chunks(WEBP, WIDTH, HEIGHT, PREFIX + tiff(SIX)),
        PNG[:-12] + png_chunk(b"eXIf", tiff(SIX)) + PNG[-12:],  # after the pixel data
    ):
        assert read_header(data).orientation == 6
        assert np.array_equal(decode(data), clockwise(decode(PNG)))


@pytest.mark.parametrize("prefix", [PREFIX, b"Exif\0\xff", b"exif\0\0", b"\0\0Exif\0\0", b"1234EXIF\0\0"])
def test_a_jpegs_prefix_is_read_as_exiftool_reads_it(prefix: bytes) -> None:
    assert read_header(with_app1(JPEG, XMP, prefix + tiff(SIX))).orientation == 6


@given(
    st.sampled_from([b"", PREFIX]), st.sampled_from([b"", b"II*\0", b"MM\0*", tiff(SIX)[:20]]), st.binary(max_size=60)
)
def test_any_block_has_an_orientation(prefix: bytes, start: bytes, rest: bytes) -> None:
    assert 1 <= read_header(with_exif_chunks(PNG, prefix + start + rest)).orientation <= 8


def test_xmp_is_not_exif() -> None:
    assert read_header(with_app1(JPEG, XMP)).orientation == 1
    assert read_header(with_app1(JPEG, XMP, PREFIX + tiff(SIX), XMP)).orientation == 6


def test_exif_in_the_image_data_is_none() -> None:
    exif = with_app1(b"\xff\xd8", PREFIX + tiff(SIX))[2:]
    assert read_header(JPEG[:-2] + exif + JPEG[-2:]).orientation == 1
