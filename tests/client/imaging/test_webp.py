"""An animation is its first image, on its canvas; and OpenCV only sees still images."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.image import decode
from support.made_images import FILES, HEIGHT, WIDTH, exif, picture, saved, translucent

ANMF = FILES["webp animated"].index(b"ANMF") + 8


def on_canvas(data: bytes, width: int, height: int, left: int = 0, top: int = 0) -> bytes:
    """An animation whose canvas, and whose first frame's place, are others; with transparency, that Pillow shows it."""
    at = data.index(b"ANMF") + 8
    three = [side.to_bytes(3, "little") for side in (width - 1, height - 1, left // 2, top // 2)]
    return (
        data[:20]
        + bytes([data[20] | 0x10])
        + data[21:24]
        + three[0]
        + three[1]
        + data[30:at]
        + three[2]
        + three[3]
        + data[at + 6 :]
    )


def animation(image: Image.Image, **options: object) -> bytes:
    return saved(image, "WEBP", save_all=True, append_images=[image.rotate(180)], duration=100, **options)


def shown(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))[..., ::-1]


def refused(data: bytes, why: str) -> None:
    with pytest.raises(InvalidImage, match=why):
        decode(data)


@pytest.mark.parametrize("place", [(WIDTH, HEIGHT, 0, 0), (WIDTH + 9, HEIGHT + 5, 0, 0), (50, 40, 10, 6)])
@pytest.mark.parametrize("image", [picture(), translucent()])
@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}])
def test_the_first_frame_lies_where_pillow_shows_it(
    place: tuple[int, int, int, int], image: Image.Image, options: dict[str, object]
) -> None:
    data = on_canvas(animation(image, **options), *place)
    assert decode(data).shape == (place[1], place[0], 3)
    assert np.abs(decode(data).astype(int) - shown(data)).max() <= 1


def test_an_animation_is_upright_by_its_exif() -> None:
    data = animation(picture(), lossless=True, exif=exif(6))
    assert decode(data).shape == (WIDTH, HEIGHT, 3)


def test_opencv_is_never_given_an_animation(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(cv2, "imdecode", lambda data, _: given.append(data.tobytes()))
    for name in ("webp animated", "webp animated alpha"):
        refused(FILES[name], "cannot be decoded")
    assert [data[12:16] for data in given] == [b"VP8X"] * 2
    assert not any(data[20] & 2 or b"ANMF" in data for data in given)


def test_an_animation_whose_first_frame_is_damaged_is_refused() -> None:
    """OpenCV 4.11 reads the picture from an uninitialised pointer (its issue 27456)."""
    data = FILES["webp animated"]
    for begin in range(ANMF + 16, ANMF + 60, 5):
        refused(data[:begin] + bytes(len(data) - begin), "cannot be decoded|no pixels|past its end|truncated")


def test_a_frame_that_is_none_or_not_on_the_canvas_is_refused() -> None:
    data = FILES["webp animated"]
    refused(data.replace(b"ANMF", b"JUNK"), "an animation without a first frame")
    refused(on_canvas(data, WIDTH - 1, HEIGHT), "its first frame reaches past its canvas")
    refused(on_canvas(data, WIDTH, HEIGHT, top=2), "its first frame reaches past its canvas")
    short = data[: ANMF - 4] + struct.pack("<I", 8) + data[ANMF : ANMF + 8]
    refused(short[:4] + struct.pack("<I", len(short) - 8) + short[8:], "an animation without a first frame")


def test_a_frame_that_lies_about_its_size_is_refused() -> None:
    data = bytearray(on_canvas(FILES["webp animated"], 100, 100))
    data[ANMF + 6] = 60
    refused(bytes(data), "cannot be decoded")
