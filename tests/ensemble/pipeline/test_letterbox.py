"""An image scaled to fit a detector's canvas."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from facegate_ensemble.pipeline.letterbox import letterbox

SEVENTY_COLOURS = np.arange(7 * 10 * 3, dtype=np.uint8).reshape(7, 10, 3)


def test_a_letterboxed_image_is_top_left_on_black() -> None:
    boxed, factor = letterbox(np.full((100, 200, 3), 77, np.uint8), 640, 640)
    assert factor == 3.2
    assert boxed.shape == (640, 640, 3)
    assert (boxed[:320] == 77).all()
    assert not boxed[320:].any()


def test_an_image_that_fits_already_is_unchanged() -> None:
    boxed, factor = letterbox(SEVENTY_COLOURS, 7, 12)
    assert factor == 1
    assert np.array_equal(boxed[:, :10], SEVENTY_COLOURS)


@pytest.mark.parametrize("size", [(41, 63), (63, 41), (641, 480), (1280, 51), (1281, 603), (1999, 2563)])
def test_both_axes_have_the_returned_factor(size: tuple[int, int]) -> None:
    """A bright line at two thirds of either axis lies, divided by the factor, where it lay: boxes depend on it."""
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    rows, columns = slice(height * 2 // 3, height * 2 // 3 + 4), slice(width * 2 // 3, width * 2 // 3 + 4)
    image[rows, :, 0] = 250
    image[:, columns, 1] = 250
    boxed, factor = letterbox(image, 640, 640)
    for line, at in ((boxed[:, 0, 0], rows.start), (boxed[0, :, 1], columns.start)):
        centre = np.average(np.arange(640) + 0.5, weights=line)
        assert centre == pytest.approx((at + 2) * factor, abs=0.1)  # scaled to a whole size it is up to 0.35 off


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1), (1, 40_000_000), (1, 1), (3, 7)])
@pytest.mark.parametrize("target", [(640, 640), (480, 640), (1, 1)])
def test_no_aspect_ratio_makes_an_image_vanish(size: tuple[int, int], target: tuple[int, int]) -> None:
    boxed, factor = letterbox(np.full((*size, 3), 200, np.uint8), *target)
    assert boxed.shape == (*target, 3)
    assert boxed.max() == 200
    assert factor == min(target[0] / size[0], target[1] / size[1])


def test_every_shape_fits_its_canvas() -> None:
    for height, width in pairwise(range(1, 2000, 37)):
        for image in (np.empty((height, width, 3), np.uint8), np.empty((width, 3, 3), np.uint8)):
            assert letterbox(image, 320, 256)[0].shape == (320, 256, 3)
