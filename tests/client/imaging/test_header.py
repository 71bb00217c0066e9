"""What a file says of itself agrees with Pillow; what is not all there is refused, and at no great cost."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.header import ImageHeader, read_header
from support.made_images import FILES, bmp_of, exif, picture, png_chunk, png_of, saved

TEN_MIB = 10 * 1024 * 1024
JPEG = FILES["jpeg"]


def refused(data: bytes, why: str) -> None:
    with pytest.raises(InvalidImage, match=why):
        read_header(data)


@pytest.mark.parametrize("name", FILES)
def test_kind_and_size_are_those_that_pillow_reads(name: str) -> None:
    header = read_header(FILES[name])
    with Image.open(io.BytesIO(FILES[name])) as expected:
        assert (header.width, header.height) == expected.size
        assert header.kind.upper() == expected.format
    assert header.orientation == 1


def test_a_memoryview_reads_as_bytes_do() -> None:
    assert read_header(memoryview(JPEG)) == read_header(JPEG)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_is_found_in_each_kind_that_has_one(kind: str, orientation: int) -> None:
    assert read_header(saved(picture(), kind, exif=exif(orientation))).orientation == orientation


def test_the_orientation_is_found_in_little_endian_exif_and_without_a_prefix() -> None:
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    extra = png_chunk(b"eXIf", tiff)
    assert read_header(png_of(1, 1, b"", extra)).orientation == 6


@pytest.mark.parametrize("cut", range(0, len(exif(6)), 3))
def test_damaged_exif_leaves_the_photo_as_it_is(cut: int) -> None:
    header = read_header(saved(picture(), "JPEG", exif=exif(6)[:cut] or b"Exif\0\0"))
    assert header.orientation in (1, 6)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_there_is_not_means_upright(value: int) -> None:
    assert read_header(saved(picture(), "JPEG", exif=exif(value))).orientation == 1


def test_exif_whose_directory_lies_beyond_its_end_or_never_ends_is_no_orientation() -> None:
    for tiff in (b"MM\0*\xff\xff\xff\xff\0\0", b"MM\0*\0\0\0\x08\xff\xff" + bytes(60_000)):
        assert read_header(saved(picture(), "JPEG", exif=b"Exif\0\0" + tiff)).orientation == 1


@pytest.mark.parametrize(
    "data", [b"", b"x", b"GIF89a" + bytes(50), b"%PDF-1.7", b"\xff\xd8", b"RIFF\4\0\0\0WAVE", bytes(99)]
)
def test_other_files_are_refused(data: bytes) -> None:
    refused(data, "^not a JPEG, PNG, WebP or BMP file")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused_wherever_it_is_cut(name: str) -> None:
    data = FILES[name]
    for length in {*range(0, len(data), max(1, len(data) // 150)), *range(len(data) - 12, len(data))}:
        with pytest.raises(InvalidImage):
            read_header(data[:length])


def test_a_thumbnails_end_is_not_the_photos() -> None:
    data = FILES["jpeg with a thumbnail"]
    assert data.count(b"\xff\xd9") == 2
    refused(data[:-2], "truncated JPEG: it has no end-of-image marker")


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "webp alpha", "bmp 24 bits"])
def test_bytes_after_the_image_do_no_harm(name: str) -> None:
    assert read_header(FILES[name] + b"\0" * 1000 + b"made by a camera") == read_header(FILES[name])


def test_a_jpeg_with_fill_and_stray_bytes_between_segments_is_read_as_decoders_read_it() -> None:
    at = JPEG.index(b"\xff\xc0")
    assert read_header(JPEG[:at] + b"\0\0stray\xff\xff\xff" + JPEG[at:]) == read_header(JPEG)


@pytest.mark.parametrize(
    "data",
    [
        png_of(0, 5, b""),
        png_of(5, 0, b""),
        bmp_of(24, 0, 5),
        bmp_of(24, 5, 0),
        bmp_of(24, -5, 5, data=bytes(100)),
        JPEG[: JPEG.index(b"\xff\xc0") + 5]
        + b"\0\0"
        + JPEG[JPEG.index(b"\xff\xc0") + 7 :],  # the height is left to a DNL
    ],
)
def test_an_image_of_no_pixels_is_refused(data: bytes) -> None:
    refused(data, "it has none")


def test_a_bmp_of_the_lowest_height_is_only_large() -> None:
    assert bmp_of(24, 1, 1)[22:26] == b"\1\0\0\0"
    data = bmp_of(24, 1, 1)
    refused(data[:22] + struct.pack("<i", -(2**31)) + data[26:], "truncated BMP")


def test_a_webp_canvas_has_24_bits_a_side() -> None:
    data = bytearray(FILES["webp animated"])
    data[24:30] = (99_999).to_bytes(3, "little") * 2
    assert read_header(bytes(data)) == ImageHeader("WebP", 100_000, 100_000, 1)


def test_a_jpeg_of_a_hundred_scans_is_refused() -> None:
    progressive = FILES["jpeg progressive"]
    scan = progressive.index(b"\xff\xda")
    scans = progressive.count(b"\xff\xda")
    assert read_header(progressive).kind == "JPEG"
    end = scan + 2 + int.from_bytes(progressive[scan + 2 : scan + 4], "big")
    refused(progressive[:-2] + progressive[scan:end] * (101 - scans) + b"\xff\xd9", "more than 100 scans")


def scanned(width: int, height: int, scans: int, before_each: bytes = b"") -> bytes:
    """A progressive JPEG that claims a size, with empty scans."""
    data = FILES["jpeg progressive"]
    size, scan = data.index(b"\xff\xc2") + 5, data.index(b"\xff\xda")
    header = data[scan : scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")]
    sized = data[:size] + struct.pack(">HH", height, width) + data[size + 4 : scan]
    return sized + (header + before_each) * scans + b"\xff\xd9"


def test_a_large_jpeg_of_more_scans_than_encoders_write_is_refused() -> None:
    """Each is a pass over 40 megapixels: a hundred in 6 KB took three seconds."""
    assert read_header(scanned(8000, 5000, 20)).width == 8000
    refused(scanned(8000, 5000, 21), "JPEG of 21 scans: more than 20 scans of 40000000 pixels take too long")
    assert read_header(scanned(4000, 2500, 80)).width == 4000
    refused(scanned(4000, 2500, 81), "more than 80 scans of 10000000 pixels")


def test_an_end_within_a_segment_hides_no_scans() -> None:
    comment = b"\xff\xfe\0\x04\xff\xd9"
    assert read_header(scanned(21, 13, 50, comment)).width == 21
    refused(scanned(21, 13, 101, comment), "JPEG of 101 scans")


def test_what_a_phone_appends_counts_as_nothing() -> None:
    assert read_header(JPEG + b"\xff\xda\0\2" * 2000) == read_header(JPEG)


@pytest.mark.parametrize("code", [0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)])
def test_a_jpeg_that_no_browser_shows_is_refused(code: int) -> None:
    """Nine arithmetic-coded scans in 8 KB took five seconds, 99 lossless ones in 1 KB three."""
    refused(JPEG.replace(b"\xff\xc0", bytes((0xFF, code))), "arithmetic-coded, lossless or hierarchical")


TIFF = b"MM\0*\0\0\0\x08\xff\xff" + bytes(2000)
SCAN = JPEG[: JPEG.index(b"\xff\xda") + 14]
WEBP = b"RIFF" + struct.pack("<I", TEN_MIB - 8) + b"WEBPVP8X\x0a\0\0\0" + bytes(10)
PNG = FILES["png"]
HOSTILE = {
    "only fill bytes": (b"\xff\xd8", b"\xff"),
    "only stuffing": (b"\xff\xd8\xff", b"\x00\xff"),
    "only zeros": (b"\xff\xd8\xff", b"\0"),
    "empty segments": (b"\xff\xd8", b"\xff\xe2\0\2"),
    "empty APP1 segments": (b"\xff\xd8", b"\xff\xe1\0\2"),
    "markers without a length": (b"\xff\xd8", b"\xff\xd0"),
    "segments in fill bytes": (b"\xff\xd8", b"\xff\xe2\0\2" + b"\xff" * 4000),
    "EXIF without end": (b"\xff\xd8", b"\xff\xe1" + struct.pack(">H", 8 + len(TIFF)) + b"Exif\0\0" + TIFF),
    "stuffing in the scan": (SCAN, b"\xff\0"),
    "fill in the scan": (SCAN, b"\xff"),
    "half an end in the scan": (SCAN, b"\xd9\0"),
    "APP1 in the scan": (SCAN, b"\xff\xe1\0\2"),
    "scans in the scan": (SCAN, b"\xff\xda\0\2"),
    "reserved markers in the scan": (SCAN, b"\xff\x05"),
    "restarts in the scan": (SCAN, b"\xff\xd0"),
    "empty chunks": (PNG[:33], png_chunk(b"tEXt", b"")),
    "one EXIF chunk after another": (PNG[:33], png_chunk(b"eXIf", TIFF)),
    "empty WebP chunks": (WEBP, b"JUNK\0\0\0\0"),
    "WebP EXIF": (WEBP, b"EXIF" + struct.pack("<I", len(TIFF)) + TIFF),
    "a BMP of zeros": (b"BM", b"\0"),
}


def least_time(work: Callable[[], object]) -> float:
    """Processor seconds, the least of three: a busy machine has cold caches."""
    times = []
    for _ in range(3):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


@pytest.mark.parametrize("name", HOSTILE)
def test_ten_hostile_megabytes_are_refused_in_a_few_passes_over_their_bytes(name: str) -> None:
    """At most as much work as a hundred comparisons of all bytes. A loop over five million markers takes far more."""
    start, again = HOSTILE[name]
    data = (start + again * (TEN_MIB // len(again) + 1))[:TEN_MIB]

    def refuse() -> None:
        with pytest.raises(InvalidImage):
            read_header(data)

    values = np.frombuffer(data, np.uint8)
    assert least_time(refuse) < 100 * least_time(lambda: np.count_nonzero(values == 0xFF))
