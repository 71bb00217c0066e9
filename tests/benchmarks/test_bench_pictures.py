"""The pictures that are measured on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks.bench import growth, pictures
from benchmarks.bench.pictures import SIZES, made, picture

pytestmark = pytest.mark.usefixtures("repository")


@pytest.mark.parametrize(("size", "faces"), [("640x480", 0), ("640x480", 1), ("640x480", 30), ("1080p", 6), ("3MP", 1)])
def test_a_jpeg_has_its_size_and_faces(size, faces):
    found = picture(size, faces)
    image = cv2.imdecode(np.frombuffer(found.data, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[:2] == (found.height, found.width) == SIZES[size]
    assert found.faces == faces and found.encoded


def test_every_picture_that_growth_asks_about_can_be_made():
    assert [growth._faces(faces).faces for faces in growth.FULL.faces] == list(growth.FULL.faces)
    assert {growth._pixels(megapixels).faces for megapixels in growth.FULL.megapixels} == {1}


def test_a_frame_is_raw_bytes():
    found = picture("640x480", 2, encoded=False)
    assert len(found.data) == 480 * 640 * 3 and not found.encoded


def test_a_picture_is_the_same_each_time():
    assert made("small", 240, 320, 1, encoded=True) == made("small", 240, 320, 1, encoded=True)


def test_a_picture_whose_faces_are_not_seen_is_none(monkeypatch):
    monkeypatch.setattr(pictures, "_detected", lambda image: 5)
    with pytest.raises(RuntimeError, match="5 faces are detected in the picture small that was made of 6"):
        made("small", 240, 320, 6, encoded=True)
