"""Writes what fuzzing starts from: python -m tests.fuzz.seeds FOLDER, into FOLDER/decode and FOLDER/request."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np

from tests.fuzz.framing import png_file
from tests.support.exact_images import RGBX, masked_bmp, png_of_samples, reported_images, tag, tiff, with_app1
from tests.support.made_images import FILES, HEIGHT, WIDTH, bmp_of, exif, picture, saved, written

FACE = [10, 10, 60, 60, 20, 25, 50, 25, 35, 40, 22, 52, 48, 52]
PARAMETERS = [
    (b"a", {"anti_spoofing": True, "embeddings": False, "min_score": 0.5, "max_faces": 3}),
    (b"v", {"anti_spoofing": False, "threshold": 0.57}),
    (b"a", {"min_score": 1, "nonsense": [1, None, {"a": "\ud800"}]}),
    (b"v", {"threshold": 1e-320}),
    (b"v", {"several_faces": "largest"}),
    (b"a", {"several_faces": ["best"]}),
]


def interlaced(bits: int, colour: int) -> bytes:
    """A PNG of 7 x 5 pixels in Adam7's seven passes."""
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    rows = [(1, 1), (1, 1), (1, 2), (2, 2), (1, 4), (3, 3), (2, 7)]  # height and width of each pass
    pixels = b"".join((b"\0" + b"\xa5" * ((width * bits * channels + 7) // 8)) * height for height, width in rows)
    header = (b"IHDR", struct.pack(">IIBBBBB", 7, 5, bits, colour, 0, 0, 1))
    palette = [(b"PLTE", bytes(range(48)))] if colour == 3 else []
    return png_file([header, *palette, (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")])


def decode_seeds() -> list[bytes]:
    deep = np.random.default_rng(0).integers(0, 65536, (5, 6, 4)).astype(np.uint16)
    others = [
        saved(picture().convert("CMYK"), "JPEG", quality=50),
        saved(picture(), "JPEG", quality=50, progressive=True, restart_marker_blocks=1),
        *(written(".png", deep[..., :channels]) for channels in (1, 3, 4)),
        *(interlaced(bits, colour) for bits, colour in ((1, 0), (8, 2), (16, 6), (4, 3))),
        bmp_of(16, WIDTH, HEIGHT),
        bmp_of(4, 4, 2, compression=2, data=b"\x04\x75\0\0\x02\x51\x02\x91\0\x01"),
        b"BM" + struct.pack("<IHHIIHHHH", 26 + 24 * 5, 0, 0, 26, 12, 7, 5, 1, 24) + bytes(range(24 * 5)),
    ]
    grey = np.arange(20).reshape(4, 5, 1)
    clear = png_file([(b"tRNS", b"\0\1")])[8:]
    bgra = np.random.default_rng(0).integers(0, 256, (4, 5, 4), np.uint8)
    others += [
        *(png_of_samples(grey % (1 << bits), bits, 0, before=clear, adam7=bits == 4) for bits in (1, 2, 4, 8, 16)),
        png_of_samples(np.dstack([grey] * 3), 16, 2, before=png_file([(b"tRNS", b"\0\1" * 3)])[8:]),
        *(masked_bmp(bgra, (*RGBX, 0xFF000000), header=header) for header in (56, 124)),
        masked_bmp(bgra, (0xF800, 0x7E0, 0x1F), bits=16),
        masked_bmp(bgra, (0xF00, 0xF0, 0xF, 0xF000), bits=16, compression=6, top_down=True),
        with_app1(FILES["jpeg"], b"Exif\0\0" + tiff(tag(4, b"\6\0\0\0\3\0\0\0", 2)), b"Exif\0\0" + tiff(order=">")),
        *(data for data, _ in reported_images().values() if len(data) < 10_000),
    ]
    upright = [saved(picture(), kind, exif=exif(6), quality=90) for kind in ("JPEG", "PNG", "WEBP")]
    return [data for data in FILES.values() if len(data) < 10_000] + others + upright


def request_seeds() -> list[bytes]:
    shape = struct.pack("<ii", HEIGHT, WIDTH)
    faces = b"".join(struct.pack("<14f", *(value + shift for value in FACE)) for shift in (0, 30))
    return [
        *(name + json.dumps(values).encode() for name, values in PARAMETERS),
        b"a",
        b"a" + b'{"x":' * 300 + b"1" + b"}" * 300,
        b"i\x01" + FILES["png 1 bit"],
        b"i\x19" + FILES["bmp run-length"],
        b"i\x06" + shape + bytes(HEIGHT * WIDTH * 3),
        b"i\x2e" + struct.pack("<ii", 1, 2) + b"pixels",
        b"i\x07" + shape,
        b"f" + struct.pack("<HH", 199, 199) + faces,
        b"f" + struct.pack("<HH", 30, 30) + faces,
    ]


if __name__ == "__main__":
    for name, seeds in (("decode", decode_seeds()), ("request", request_seeds())):
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(seeds):
            (folder / f"seed-{number:02}").write_bytes(data)
