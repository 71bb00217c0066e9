"""Aligned crops: the landmarks land on the template, whatever way the face is turned."""

from __future__ import annotations

import math
from random import Random

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegate_client.contract import MAX_SIDE
from facegate_ensemble.pack import Pack
from facegate_ensemble.pipeline.alignment import aligned_crops, similarity

Points = NDArray[np.floating]
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]


@pytest.fixture(scope="module")
def template(pack: Pack) -> NDArray[np.float32]:
    return np.array(pack.recognizer.template, dtype=np.float32)


def moved(points: Points, degrees: float, scale: float, shift: tuple[float, float]) -> Points:
    turn = math.radians(degrees)
    rotation = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return points.astype(np.float64) @ rotation.T + shift


@settings(deadline=None)
@given(st.floats(-180, 180), st.floats(0.05, 20), st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), st.randoms())
def test_a_turned_scaled_and_shifted_face_is_brought_back_exactly(
    degrees: float, scale: float, shift: tuple[float, float], random: Random
) -> None:
    target = np.array([[random.uniform(0, 112) for _ in "xy"] for _ in range(5)])
    target[0] = target[1] + 20  # never all in one place
    matrix = similarity(moved(target, degrees, scale, shift), target)
    back = moved(target, degrees, scale, shift) @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(back, target, atol=1e-6)
    assert math.isclose(np.linalg.det(matrix[:, :2]), scale**-2, rel_tol=1e-6)


def test_a_mirrored_face_is_never_mirrored_back(template: NDArray[np.float32]) -> None:
    mirrored = template * [-1, 1]
    matrix = similarity(mirrored, template)
    assert np.linalg.det(matrix[:, :2]) >= 0
    assert np.abs(mirrored @ matrix[:, :2].T + matrix[:, 2] - template).max() > 10


def test_coinciding_landmarks_are_refused(template: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="landmarks coincide"):
        similarity(np.full((5, 2), 40.0, dtype=np.float32), template)


@pytest.mark.parametrize("degrees", [0, 25, -90, 170])
def test_five_coloured_dots_land_on_the_template(template: NDArray[np.float32], degrees: float) -> None:
    dots = moved(template - 56, degrees, 2.5, (250, 230)).astype(np.float32)
    image = np.zeros((480, 500, 3), dtype=np.uint8)
    for (x, y), colour in zip(dots, COLOURS, strict=True):
        cv2.circle(image, (round(float(x)), round(float(y))), 8, colour, -1)
    (crop,) = aligned_crops(image, dots[None], template, 112, 112)
    for (x, y), colour in zip(template, COLOURS, strict=True):
        assert tuple(crop[round(float(y)), round(float(x))]) == colour


def test_faces_are_cut_in_order_and_what_lies_outside_the_image_is_black(template: NDArray[np.float32]) -> None:
    image = np.full((112, 112, 3), 200, dtype=np.uint8)
    inside, outside = aligned_crops(image, np.stack([template, template + 1000]), template, 112, 112)
    assert np.unique(inside).tolist() == [200]
    assert np.unique(outside).tolist() == [0]


def test_no_face_is_no_crop(template: NDArray[np.float32]) -> None:
    crops = aligned_crops(np.zeros((9, 9, 3), dtype=np.uint8), np.empty((0, 5, 2), np.float32), template, 112, 96)
    assert crops.shape == (0, 112, 96, 3)


def test_a_face_is_cut_from_the_widest_picture_allowed(template: NDArray[np.float32]) -> None:
    image = np.full((112, MAX_SIDE, 3), 200, dtype=np.uint8)
    (crop,) = aligned_crops(image, template[None] + np.float32([32_000, 0]), template, 112, 112)
    assert np.unique(crop).tolist() == [200]
