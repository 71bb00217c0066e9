"""Shrinking: from mip levels, so that fine patterns and noise become grey, and nothing moves."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.shrinking import linear_aligned_crops, linear_context_crops, linear_letterbox
from facegate_ensemble.pipeline.alignment import aligned_crops, similarity
from facegate_ensemble.pipeline.letterbox import letterbox
from facegate_ensemble.pipeline.liveness import context_box, context_crops
from facegate_ensemble.pipeline.pyramid import Image, ImagePyramid

TEMPLATE = np.float32([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])
"""ArcFace's, in a crop of 112 x 112 pixels."""

SHRINKS = [2.1, 3.0, 3.7, 4.5, 7.7, 16.0]


def boxed(image: Image, shrink: float) -> Image:
    """The letterboxed image without the black around it, shrunk by `shrink`."""
    height, width = (round(side / shrink) for side in image.shape[:2])
    return letterbox(image, height, width)[0]


def aligned(image: Image, shrink: float) -> Image:
    """The aligned crop of a face in the middle of an image."""
    return aligned_crops(image, face(image, shrink, 0), TEMPLATE, 112, 112)[0]


def surrounded(image: Image, shrink: float) -> Image:
    """The context crop of a face in the middle of an image, 80 x 80 pixels."""
    return context_crops(image, middle_box(image, shrink), 4.0, 80, 80)[0]


def face(image: Image, shrink: float, degrees: float) -> np.ndarray:
    turn = shrink * np.exp(1j * math.radians(degrees))
    points = (TEMPLATE - 56) @ np.array([[turn.real, turn.imag], [-turn.imag, turn.real]])
    return np.float32(points + np.array(image.shape[1::-1]) / 2)[None]


def middle_box(image: Image, shrink: float) -> np.ndarray:
    half = 80 * shrink / 4.0 / 2
    y, x = np.array(image.shape[:2]) / 2
    return np.float32([[x - half, y - half, x + half, y + half]])


CUTS = pytest.mark.parametrize("cut", [boxed, aligned, surrounded])


def inner(crop: Image) -> Image:
    return crop[4:-4, 4:-4]


@CUTS
@pytest.mark.parametrize("shrink", SHRINKS)
def test_a_fine_checkerboard_becomes_grey(cut, shrink):
    board = np.indices((1900, 1900)).sum(axis=0) % 2 * 255
    crop = inner(cut(np.dstack([board] * 3).astype(np.uint8), shrink))
    assert np.abs(crop.astype(float) - 127.5).max() <= 16  # five of nine pixels may be white


@CUTS
@pytest.mark.parametrize("shrink", SHRINKS)
def test_noise_is_averaged(cut, shrink):
    noise = np.random.default_rng(1).integers(0, 256, (1900, 1900, 3), np.uint8)
    crop = inner(cut(noise, shrink))
    assert crop.mean() == pytest.approx(127.5, abs=2)
    assert crop.std() <= 1.5 * noise.std() / shrink  # of the mean of shrink x shrink pixels: 1 / shrink


@settings(deadline=None, max_examples=40)
@given(st.floats(1, 7), st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(-180, 180))
def test_a_spot_stays_in_place(shrink, across, down, degrees):
    image = np.zeros((701, 602, 3), np.uint8)
    x, y = 301 + across * 80 * shrink, 350 + down * 80 * shrink
    columns, rows = (np.exp(-(((np.arange(side) - at) / shrink) ** 2) / 18) for side, at in ((602, x), (701, y)))
    image[:] = (250 * rows[:, None] * columns)[..., None].round()
    points, box = face(image, shrink, degrees), middle_box(image, shrink)

    height, width = round(701 / shrink), round(602 / shrink)
    canvas, factor = letterbox(image, height, width)
    assert place(canvas) == pytest.approx(((x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5), abs=0.1)
    there = similarity(points[0], TEMPLATE) @ [x, y, 1]
    if np.all((there > 15) & (there < 97)):  # the whole spot is in the crop
        assert place(aligned_crops(image, points, TEMPLATE, 112, 112)[0]) == pytest.approx(tuple(there), abs=0.1)
    x1, y1, x2, y2 = context_box(box[0], 4.0, 701, 602)
    there = (x + 0.5 - x1) * 80 / (x2 - x1) - 0.5, (y + 0.5 - y1) * 80 / (y2 - y1) - 0.5
    assert place(context_crops(image, box, 4.0, 80, 80)[0]) == pytest.approx(there, abs=0.1)


def place(crop: Image) -> tuple[float, float]:
    """The centre of what is bright, x y."""
    bright = crop[..., 0].astype(float)
    x = np.average(np.arange(bright.shape[1]), weights=bright.sum(axis=0))
    return float(x), float(np.average(np.arange(bright.shape[0]), weights=bright.sum(axis=1)))


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 400), st.integers(2, 400), st.floats(0.05, 1.99), st.floats(-180, 180), st.integers(0, 9))
def test_below_two_all_is_linear(height, width, shrink, degrees, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    side = math.ceil(max(height, width) / shrink) + 1
    assert np.array_equal(letterbox(image, side, side)[0], linear_letterbox(image, side, side)[0])
    points, box = face(image, shrink, degrees), middle_box(image, shrink)
    assert np.array_equal(
        aligned_crops(image, points, TEMPLATE, 112, 112), linear_aligned_crops(image, points, TEMPLATE, 112, 112)
    )
    x1, y1, x2, y2 = context_box(box[0], 4.0, height, width)
    if max(x2 - x1, y2 - y1) < 160:
        assert np.array_equal(context_crops(image, box, 4.0, 80, 80), linear_context_crops(image, box, 4.0, 80, 80))


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(
        st.tuples(st.integers(1, 700), st.integers(1, 700)),
        st.tuples(st.integers(1, 3), st.integers(1, 30_000)),
        st.tuples(st.integers(1, 30_000), st.integers(1, 3)),
    ),
    st.floats(1e-6, 3),
    st.tuples(*[st.floats(-2e4, 4e4)] * 4),
)
def test_every_size_is_shrunk(size, scale, corners):
    image = np.full((*size, 3), 200, np.uint8)
    level, n = ImagePyramid(image).level(scale)
    assert level.shape == (size[0] // n, size[1] // n, 3)
    assert scale * n <= max(1, scale)
    assert scale * n > 0.5 or min(level.shape[:2]) == 1
    assert letterbox(image, 64, 48)[0].max() == 200
    box = np.float32([[*np.minimum(corners[:2], corners[2:]), *np.maximum(corners[:2], corners[2:])]])
    assert np.unique(context_crops(image, box, 2.7, 80, 60)).tolist() == [200]
    crop = aligned_crops(image, box[:, None, :2] + TEMPLATE / max(scale, 1e-3), TEMPLATE, 112, 112)
    assert crop.shape == (1, 112, 112, 3)


@CUTS
@pytest.mark.parametrize("shrink", [1.5, 5.0])
def test_a_view_is_shrunk_like_its_copy(cut, shrink):
    image = np.random.default_rng(2).integers(0, 256, (2 * 701, 2 * 700, 4), np.uint8)
    view = image[::-2, ::2, 2::-1]
    assert np.array_equal(cut(view, shrink), cut(view.copy(), shrink))
    readonly = view.copy()
    readonly.setflags(write=False)
    assert np.array_equal(cut(readonly, shrink), cut(view, shrink))


def test_faces_and_threads_share_the_levels_of_an_image():
    pyramid = ImagePyramid(np.random.default_rng(3).integers(0, 256, (1999, 2001, 3), np.uint8))
    scales = [0.5, 0.1, 0.26, 0.04, 1.0, 0.1] * 8
    with ThreadPoolExecutor(8) as pool:
        levels = list(pool.map(pyramid.level, scales))
    assert len({id(level) for level, _ in levels}) == len({n for _, n in levels}) == 4
    for level, n in levels:
        whole = pyramid.image[: level.shape[0] * n, : level.shape[1] * n]
        means = cv2.resize(whole, level.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(level.astype(int) - means).max() <= 2  # rounded once a level
