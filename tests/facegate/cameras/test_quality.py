from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegate.cameras.tracking.due import as_rows
from facegate.cameras.tracking.quality import qualities
from facegate_client.results import Face

Pixels = NDArray[np.uint8]

_TEMPLATE = ((38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2))  # from in front, 112 x 112


def face(left: float = 100, top: float = 80, scale: float = 2.0) -> Face:
    points = tuple((left + scale * x, top + scale * y) for x, y in _TEMPLATE)
    return Face((left, top, left + 112 * scale, top + 112 * scale), 0.9, points)


def quality(pixels: Pixels, face: Face) -> float:
    return float(qualities(pixels, as_rows([face]))[0])


def drawn() -> Pixels:
    """Details of all sizes, as photos have them: amplitudes fall as the frequency rises (Field, 1987)."""
    noise = np.fft.rfft2(np.random.default_rng(3).normal(size=(480, 640)))
    frequency = np.hypot(np.fft.fftfreq(480)[:, None], np.fft.rfftfreq(640)[None])
    texture = np.fft.irfft2(noise / np.maximum(frequency, 1 / 640))
    grey = np.clip(128 + 35 * texture / texture.std(), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


PICTURE = drawn()


def test_a_large_sharp_face_from_in_front_is_good() -> None:
    assert quality(PICTURE, face()) > 0.5


@pytest.mark.parametrize(
    "worsen",
    [
        lambda pixels, by: cv2.GaussianBlur(pixels, (0, 0), 3 * by),
        lambda pixels, by: cv2.blur(pixels, (8 * by, 1)),
        lambda pixels, by: (pixels // (8 * by)).astype(np.uint8),
        lambda pixels, by: np.clip(pixels.astype(int) + 80 * by, 0, 255).astype(np.uint8),
    ],
    ids=["blurred", "shaken", "dark", "glaring"],
)
def test_the_worse_the_picture_the_lower(worsen: Callable[[Pixels, int], Pixels]) -> None:
    best, worse, worst = (quality(each, face()) for each in (PICTURE, worsen(PICTURE, 1), worsen(PICTURE, 2)))
    assert best > worse > worst


def test_the_smaller_the_face_the_lower() -> None:
    def at(scale: float) -> float:
        return quality(cv2.resize(PICTURE, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), shrunk(scale))

    def shrunk(scale: float) -> Face:
        whole = face()
        x1, y1, x2, y2 = (scale * value for value in whole.box)
        return Face((x1, y1, x2, y2), 0.9, tuple((scale * x, scale * y) for x, y in whole.landmarks))

    assert at(0.4) > at(0.2) > at(0.1)


@pytest.mark.parametrize(("across", "down"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_the_more_a_head_is_turned_or_nodded_the_lower(across: int, down: int) -> None:
    def turned(by: float) -> float:
        points = list(face().landmarks)
        points[2] = points[2][0] + across * by, points[2][1] + down * by
        return quality(PICTURE, replace(face(), landmarks=tuple(points)))

    assert turned(0) > turned(10) > turned(20)


def test_a_head_that_leans_is_as_good_since_the_crop_is_aligned() -> None:
    turn = cv2.getRotationMatrix2D((212, 192), 30, 1.0)
    points = tuple((float(x), float(y)) for x, y in np.array([(*point, 1) for point in face().landmarks]) @ turn.T)
    assert quality(PICTURE, replace(face(), landmarks=points)) == pytest.approx(quality(PICTURE, face()), rel=1e-6)


def test_what_is_outside_the_picture_counts_for_nothing() -> None:
    assert quality(PICTURE, face(left=-60)) < quality(PICTURE, face(left=0))
    assert quality(PICTURE, face(left=-1000)) == 0


def test_landmarks_that_coincide_are_the_worst() -> None:
    assert quality(PICTURE, replace(face(), landmarks=((200.0, 200.0),) * 5)) == 0


anything = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.floats(-100, 700, width=32)


@given(values=st.lists(anything, min_size=14, max_size=14), height=st.integers(1, 40), width=st.integers(1, 40))
def test_any_face_in_any_picture_has_a_quality(values: list[float], height: int, width: int) -> None:
    x1, y1, x2, y2 = values[:4]
    points = tuple((values[i], values[i + 1]) for i in range(4, 14, 2))
    assert 0 <= quality(PICTURE[:height, :width], Face((x1, y1, x2, y2), 0.9, points)) <= 1
    assert math.isfinite(quality(np.zeros_like(PICTURE), Face((x1, y1, x2, y2), 0.9, points)))
