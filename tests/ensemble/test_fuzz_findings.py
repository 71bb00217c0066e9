"""What tests/fuzz found beyond a single function: time, memory and depth that a small request could ask for."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
import zlib

import pytest

from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.image import decode
from facegate_ensemble.errors import RequestError
from facegate_ensemble.triton.request import read_parameters
from support.made_images import png_chunk

WIDTH, HEIGHT = 8000, 5000

# A process of its own: the peak of one that has run other tests says nothing.
PEAK = """
import sys
from facegate_client.imaging.image import decode
def resident(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) // 1024
before = resident("VmRSS")
decode(sys.stdin.buffer.read())
print(resident("VmHWM") - before)
"""


def png(colour: int, bits: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(1)
    row = bytes(1 + width * channels * bits // 8)
    pixels = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def peak_mb(data: bytes) -> int:
    done = subprocess.run([sys.executable, "-c", PEAK], input=data, capture_output=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(("colour", "bits"), [(6, 8), (4, 8), (2, 16)])
def test_no_image_of_forty_megapixels_needs_more_than_500_mb(colour: int, bits: int) -> None:
    """With transparency it was 731 MB."""
    assert peak_mb(png(colour, bits)) < 500


@pytest.mark.parametrize("colour", [4, 6])
def test_a_png_of_16_bits_and_transparency_has_a_limit_of_its_own(colour: int) -> None:
    """OpenCV alone held 640 MB for one of 40 megapixels, and a gigabyte was reached."""
    with pytest.raises(InvalidImage, match=r"16 bits with transparency; the limit is 30000000$"):
        decode(png(colour, 16))


def test_a_png_of_16_bits_with_a_transparent_colour_is_held_to_it_too() -> None:
    opaque = png(2, 16)
    with pytest.raises(InvalidImage, match="16 bits with transparency"):
        decode(opaque[:33] + png_chunk(b"tRNS", bytes(6)) + opaque[33:])


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_grey_of_16_bits_with_a_transparent_value_may_have_forty_megapixels() -> None:
    """OpenCV holds two bytes a pixel of it; it was refused as colour with transparency is."""
    grey = png(0, 16)
    assert peak_mb(grey[:33] + png_chunk(b"tRNS", bytes(2)) + grey[33:]) < 300


def eobrun(blocks: int) -> bytes:
    """A scan's data that says of each block that it ends at once: a symbol and 14 bits for 32,767 of them."""
    bits = ("0" + "1" * 14) * -(-blocks // 32767)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def refining_jpeg(scans: int) -> bytes:
    """Forty megapixels in which each scan but the first refines all 63 coefficients of every block: there are none."""

    def segment(code: int, content: bytes) -> bytes:
        return bytes((0xFF, code)) + struct.pack(">H", len(content) + 2) + content

    size = segment(0xC2, struct.pack(">BHHB", 8, HEIGHT, WIDTH, 1) + b"\1\x11\0")
    tables = segment(0xC4, b"\0\1" + bytes(15) + b"\0") + segment(0xC4, b"\x10\1" + bytes(15) + b"\xe0")
    first = segment(0xDA, b"\1\1\0\0\0\1")
    refinement = segment(0xDA, b"\1\1\0\1\x3f\x10") + eobrun(WIDTH * HEIGHT // 64)
    return b"".join(
        [b"\xff\xd8", segment(0xDB, b"\0" + b"\1" * 64), size, tables, first, refinement * (scans - 1), b"\xff\xd9"]
    )


def test_the_scans_of_forty_megapixels_take_about_a_second_at_most() -> None:
    times = []
    for _ in range(2):  # the better of two: a busy machine has cold caches
        begun = time.process_time()
        assert decode(refining_jpeg(20)).shape == (HEIGHT, WIDTH, 3)
        times.append(time.process_time() - begun)
    assert min(times) < 2
    with pytest.raises(InvalidImage, match="JPEG of 21 scans"):
        decode(refining_jpeg(21))


@pytest.mark.parametrize("depth", [500, 990, 5000])
def test_parameters_that_lie_too_deep_cannot_be_read(depth: int) -> None:
    """The reader's RecursionError was an INTERNAL error."""
    for text in ("[" * depth, '{"a":' * depth, json.dumps({"x": 1})[:-2] + "[" * depth + "]" * depth + "}"):
        with pytest.raises(RequestError, match=r"^INVALID_ARGUMENT: "):
            read_parameters(text, {})
