"""A client's file becomes the picture that Pillow shows, upright and on white, or a refusal that says why."""

from __future__ import annotations

import io
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from facegate_client.contract import MAX_IMAGE_BYTES, MAX_PIXELS, MAX_SIDE
from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.header import read_header
from facegate_client.imaging.image import decode
from support.made_images import (
    FILES,
    HEIGHT,
    WIDTH,
    bmp_of,
    exif,
    picture,
    png_chunk,
    png_of,
    saved,
    translucent,
    written,
)

SEVENTY_COLOURS = np.arange(7 * 10 * 3, dtype=np.uint8).reshape(7, 10, 3)


def shown(data: bytes) -> NDArray[np.uint8]:
    """What Pillow shows on a white page, BGR."""
    with Image.open(io.BytesIO(data)) as file:
        image = ImageOps.exif_transpose(file).convert("RGBA")
    page = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(page, image).convert("RGB"))[..., ::-1]


def difference(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> int:
    assert left.shape == right.shape
    return int(np.abs(left.astype(int) - right).max())


def refused(data: bytes, why: str) -> str:
    with pytest.raises(InvalidImage, match=why) as caught:
        decode(data)
    return str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_every_kind_and_mode_is_the_picture_that_pillow_shows(name: str) -> None:
    image = decode(FILES[name])
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert difference(image, shown(FILES[name])) <= 1


def test_a_memoryview_is_decoded_as_bytes_are() -> None:
    assert np.array_equal(decode(memoryview(FILES["png"])), decode(FILES["png"]))


def test_an_opaque_alpha_changes_no_pixel() -> None:
    assert np.array_equal(decode(FILES["png opaque alpha"]), decode(FILES["png"]))


def test_where_an_image_is_transparent_the_page_is_white() -> None:
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    for data in (saved(clear, "PNG"), saved(clear, "WEBP", lossless=True, exact=True)):
        assert (decode(data) == 255).all()


def test_the_fourth_byte_of_a_bmp_is_not_transparency() -> None:
    opaque = bmp_of(32, 2, 1, data=bytes((1, 2, 3, 0, 4, 5, 6, 0)))
    assert decode(opaque).tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_a_bmp_of_os_2_keeps_its_colours() -> None:
    rows = np.random.default_rng(0).bytes(24 * 5)
    data = b"BM" + struct.pack("<IHHIIHHHH", 26 + len(rows), 0, 0, 26, 12, 7, 5, 1, 24) + rows
    assert np.array_equal(decode(data), shown(data))


def test_sixteen_bits_are_rounded_to_the_nearest_of_eight() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 3)).astype(np.uint16)
    assert np.array_equal(decode(written(".png", deep)), np.rint(deep / 257))
    assert np.array_equal(decode(written(".png", SEVENTY_COLOURS.astype(np.uint16) * 257)), SEVENTY_COLOURS)


def test_sixteen_bits_of_grey_and_of_alpha_are_read_as_eight_are() -> None:
    grey = SEVENTY_COLOURS[..., 0]
    assert np.array_equal(decode(saved(Image.fromarray(grey.astype(np.uint16) * 257), "PNG")), np.dstack([grey] * 3))
    alpha = np.asarray(translucent())[..., [2, 1, 0, 3]]
    deep = written(".png", alpha.astype(np.uint16) * 257)
    assert np.array_equal(decode(deep), decode(FILES["png alpha"]))


def test_a_cmyk_jpeg_is_in_colour() -> None:
    cmyk = saved(picture().convert("CMYK"), "JPEG", quality=95)
    assert difference(decode(cmyk), shown(cmyk)) <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_upright_whichever_way_the_camera_was_held(kind: str, orientation: int) -> None:
    data = saved(picture(), kind, exif=exif(orientation), quality=95)
    image = decode(data)
    assert image.shape == ((HEIGHT, WIDTH, 3) if orientation < 5 else (WIDTH, HEIGHT, 3))
    assert image.flags.c_contiguous
    assert difference(image, shown(data)) <= 1


def test_an_empty_file_is_refused() -> None:
    refused(b"", "^empty")


def test_limits_are_checked_before_any_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    refused(b"\xff" * (MAX_IMAGE_BYTES + 1), f"{MAX_IMAGE_BYTES + 1} bytes; the limit is {MAX_IMAGE_BYTES}")
    canvas = bytearray(FILES["webp animated"])
    canvas[24:30] = (99_999).to_bytes(3, "little") * 2
    jpeg = bytearray(FILES["jpeg"])
    size = jpeg.index(b"\xff\xc0") + 5
    jpeg[size : size + 4] = struct.pack(">HH", 65_000, 65_000)
    run_length = bmp_of(8, 100_000, 100_000, compression=1, data=b"\0\1")
    for large in (png_of(100_000, 100_000, b""), png_of(32_000, 1300, b""), bytes(canvas), bytes(jpeg), run_length):
        refused(large, f"is over the limit of {MAX_PIXELS:,} pixels")


def test_a_side_that_no_crop_could_be_cut_from_is_refused() -> None:
    refused(png_of(MAX_SIDE + 1, 10, b""), f"{MAX_SIDE:,} a side")


def test_an_image_of_exactly_the_limit_is_decoded() -> None:
    image = decode(png_of(8000, MAX_PIXELS // 8000, zlib.compress(bytes((8000 * 3 + 1) * (MAX_PIXELS // 8000)), 1)))
    assert image.shape[0] * image.shape[1] == MAX_PIXELS


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_never_half_a_picture(name: str) -> None:
    data = FILES[name]
    for length in range(1, len(data), max(1, len(data) // 40)):
        refused(data[:length], "truncated|damaged|not a JPEG")


def test_data_that_does_not_decode_is_said_to_be_the_fault_and_is_not_shown() -> None:
    for data in (png_of(4, 4, b"secret"), bmp_of(13, 4, 4, data=b"secret" * 20)):
        assert "secret" not in refused(data, "cannot be decoded: the header of this (PNG|BMP) is fine, its data is not")


def test_an_animation_whose_frame_is_larger_than_its_canvas_is_its_first_image() -> None:
    """OpenCV 4.11 writes out of bounds here, and the process ends."""
    plain = FILES["png"]
    for width, height, left, top in ((8000, 8000, 0, 0), (WIDTH, HEIGHT, 1000, 1000)):
        control = png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, width, height, left, top, 1, 10, 0, 0))
        hostile = plain[:33] + png_chunk(b"acTL", struct.pack(">II", 2, 0)) + control + plain[33:]
        assert np.array_equal(decode(hostile), decode(plain))


def test_what_a_png_hides_costs_next_to_nothing() -> None:
    """Undefended: half a minute for the texts, twenty seconds for the pixels that the header does not promise."""
    bomb = zlib.compress(bytes(7_900_000), 9)
    texts = FILES["png"][:33] + png_chunk(b"zTXt", b"k\0\0" + bomb) * 1000 + FILES["png"][33:]
    endless = zlib.compress(bytes(600_000_000), 9)
    begun = time.process_time()
    assert np.array_equal(decode(texts), decode(FILES["png"]))
    refused(png_of(8, 8, endless), "more than twice what its width and height need")
    assert time.process_time() - begun < 1


def test_a_large_honest_png_passes_the_same_check() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (500, 700, 3), np.uint8)
    for pixels in (noise, noise.astype(np.uint16) * 257):
        assert np.array_equal(decode(written(".png", pixels)), noise)
    damaged = bytearray(written(".png", noise))
    damaged[200_000:200_100] = b"\xaa" * 100
    refused(bytes(damaged), "damaged PNG|cannot be decoded")


def test_a_jpeg_of_thousands_of_app1_segments_is_refused_at_once() -> None:
    """OpenCV's time is quadratic in them: 0.3 MB took it six seconds."""
    data = FILES["jpeg"]
    refused(data[:-2] + b"\xff\xe1\0\2" * 80_000 + data[-2:], "APP1 segments")


def checked(data: bytes) -> None:
    """The only two ways out: an image of the header's size, or InvalidImage."""
    image, refusal = None, None
    try:
        image = decode(data)
    except InvalidImage as error:
        refusal = error
    if refusal is not None:
        assert "\n" not in str(refusal)
    elif image is not None:
        header = read_header(data)
        assert sorted(image.shape[:2]) == sorted((header.height, header.width))
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous


MAGIC = st.sampled_from(
    [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", b"RIFF", b"BM"]
)


@settings(max_examples=300, deadline=None)
@given(MAGIC, st.binary(max_size=300))
def test_random_bytes_do_nothing_else(magic: bytes, data: bytes) -> None:
    checked(magic + data)


SMALL_FILES = [data for data in FILES.values() if len(data) < 10_000]
EDIT = st.tuples(st.integers(0, 2**16), st.sampled_from(["set", "insert", "remove"]), st.binary(min_size=1, max_size=8))


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(SMALL_FILES), st.lists(EDIT, min_size=1, max_size=4))
def test_damaged_files_do_nothing_else(data: bytes, edits: list[tuple[int, str, bytes]]) -> None:
    for place, what, by in edits:
        at = place % (len(data) + 1)
        data = data[:at] + (b"" if what == "remove" else by) + data[at + (0 if what == "insert" else len(by)) :]
    checked(data)
