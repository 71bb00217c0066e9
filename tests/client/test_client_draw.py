"""What is drawn, seen in its pixels."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from facegate_client import BadImage, Face
from facegate_client.draw import FAKE, NOT_CHECKED, REAL, annotate, decode, encode, label


def face(box: tuple[float, ...] = (100, 120, 200, 240), **changed: Any) -> Face:
    x1, y1, x2, y2 = box
    wide, high = x2 - x1, y2 - y1
    places = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
    landmarks = tuple((x1 + x * wide, y1 + y * high) for x, y in places)
    return Face(**({"box": box, "score": 0.93, "landmarks": landmarks} | changed))


LIVE = {"is_real": True, "antispoof_score": 0.98}
SPOOF = {"is_real": False, "antispoof_score": 0.01}


def black(height: int = 320, width: int = 400) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.all(picture == colour, axis=-1)


@pytest.mark.parametrize(
    ("liveness", "text", "colour"),
    [
        (LIVE, "REAL 0.98  face 0.93", REAL),
        (SPOOF, "FAKE 0.01  face 0.93", FAKE),
        ({}, "not checked  face 0.93", NOT_CHECKED),
    ],
)
def test_label_and_colour_say_what_was_found(liveness: dict[str, Any], text: str, colour: tuple[int, int, int]) -> None:
    assert label(face(**liveness)) == (text, colour)
    picture = annotate(black(), [face(**liveness)])
    assert has(picture, colour)[120:240, 100].all()  # the box's left edge
    assert has(picture, colour)[240, 100:200].all()  # and its lower one
    assert has(picture, colour)[:119].sum() > 500  # the label's background, above the box
    others = {REAL, FAKE, NOT_CHECKED} - {colour}
    assert not any(has(picture, other).any() for other in others)


def test_five_landmarks_are_marked() -> None:
    picture = annotate(black(), [face(**LIVE)])
    for x, y in face().landmarks:
        assert has(picture, REAL)[round(y), round(x)]


def test_the_image_itself_stays_as_it_was() -> None:
    image = black()
    image.setflags(write=False)
    assert annotate(image, [face()]).any()
    assert not image.any()
    assert np.array_equal(annotate(image, []), image)


def test_a_view_can_be_annotated() -> None:
    assert annotate(black()[:, ::-1], [face()]).flags.c_contiguous


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 100, 100),
        (300, 0, 399, 60),
        (390, 310, 400, 320),
        (-50, -50, 500, 500),
        (-300, 100, -200, 200),
        (1e9, 1e9, 2e9, 2e9),
        (0, 0, 0, 0),
        (200, 200, 100, 100),
    ],
)
def test_the_label_is_inside_the_picture_wherever_the_box_is(box: tuple[float, ...]) -> None:
    marked = has(annotate(black(), [face(box, **SPOOF)]), FAKE)
    rows = np.flatnonzero(marked.sum(axis=1) > 60)  # rows of the label: its background without the letters
    assert len(rows) >= 10
    assert rows.max() - rows.min() >= 10


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (40, 60), (60, 40), (3000, 2000)])
def test_every_size_of_picture_works(size: tuple[int, int]) -> None:
    height, width = size
    picture = annotate(black(*size), [face((0, 0, width / 2, height / 2), **LIVE)])
    assert picture.shape == (*size, 3)
    assert picture.any()


def test_lines_grow_with_the_picture() -> None:
    def left_edge(scale: int) -> int:
        picture = annotate(black(320 * scale, 400 * scale), [face(tuple(scale * v for v in (100, 120, 200, 240)))])
        return int(has(picture, NOT_CHECKED)[200 * scale, 90 * scale : 110 * scale].sum())

    assert left_edge(1) < left_edge(4) < left_edge(10)


def test_the_best_face_is_on_top() -> None:
    picture = annotate(black(), [face(**LIVE), face(score=0.5, **SPOOF)])
    assert has(picture, REAL).any()
    assert not has(picture, FAKE)[120:240, 100].any()


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_another_kind_of_array_is_refused(image: np.ndarray) -> None:
    with pytest.raises(BadImage, match="expected a uint8 array"):
        annotate(image, [])


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"facegate-client\[draw\]"):
        annotate(black(), [])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_read_upright_whatever_their_kind(kind: str, orientation: int) -> None:
    image = Image.fromarray(np.repeat(np.repeat(np.eye(2, 3, dtype=np.uint8) * 200, 16, 0), 16, 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **({"lossless": True} if kind == "WebP" else {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("L")).astype(int)
    got = decode(file.getvalue())[..., 0].astype(int)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 2


def test_what_is_written_is_read_again() -> None:
    picture = annotate(black(), [face(**LIVE)])
    assert np.array_equal(decode(encode(picture, ".PNG")), picture)


def test_what_cannot_be_decoded_or_written_is_named() -> None:
    with pytest.raises(BadImage, match=r"a\.jpg"):
        decode(b"not an image", "a.jpg")
    for data in (b"", b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WEBPEXIF\xff\xff\xff\xffMM"):
        with pytest.raises(BadImage):
            decode(data)
    with pytest.raises(ValueError, match=r"'\.xyz'"):
        encode(black(), ".xyz")


def test_labels_of_faces_side_by_side_do_not_cover_each_other() -> None:
    row = [face((x, 150, x + 40, 200), **LIVE) for x in (100, 145, 190)]
    together = has(annotate(black(), row), REAL).sum()
    alone = [has(annotate(black(), [one]), REAL).sum() for one in row]
    assert together > 0.95 * sum(alone)
