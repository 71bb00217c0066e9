"""Liveness: what the nets are shown of a face, and when their answers mean "real"."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from numpy.typing import NDArray

from facegate_ensemble.pack import Liveness as FusionRule
from facegate_ensemble.pipeline.liveness import context_box, context_crops, fuse

coordinate = st.floats(allow_nan=False, allow_infinity=False, width=32)
length = st.integers(1, 5000)
LIVE = (0.1, 0.8, 0.1)


def rule(min_real: float = 0.5, classes: int = 3, real_class: int = 1) -> FusionRule:
    """When faces are real; which nets there are plays no part in it."""
    return FusionRule.model_construct(min_real=min_real, classes=classes, real_class=real_class, nets=())


def box(*corners: float) -> NDArray[np.float32]:
    return np.array(corners, dtype=np.float32)


def faces(*rows: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.array(rows, dtype=np.float32)


@settings(deadline=None)
@given(st.tuples(*[coordinate] * 4), st.floats(1, 16), length, length)
def test_a_crop_is_never_empty_and_never_outside_the_image(
    corners: tuple[float, ...], scale: float, height: int, width: int
) -> None:
    x1, y1, x2, y2 = context_box(box(*corners), scale, height, width)
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        pytest.param((40, 40, 60, 60), (30, 30, 71, 71), id="inside: grown about its centre"),
        pytest.param((0, 0, 20, 20), (0, 0, 31, 31), id="in a corner: cut off, not shifted"),
        pytest.param((80, 10, 100, 40), (70, 0, 100, 56), id="at an edge: cut off on two sides"),
        pytest.param((-50, -50, 150, 150), (0, 0, 100, 100), id="bigger than the image: all of it"),
        pytest.param((200, 200, 220, 220), (99, 99, 100, 100), id="outside: the pixel that is nearest"),
        pytest.param((50, 50, 50, 50), (49, 49, 52, 52), id="a point: as if it were a pixel"),
    ],
)
def test_a_box_is_cropped_with_its_surroundings(corners: tuple[float, ...], expected: tuple[int, ...]) -> None:
    assert context_box(box(*corners), 2.0, 100, 100) == expected


def test_a_box_nearly_as_large_as_the_image_grows_less_and_the_same_in_both_directions() -> None:
    assert context_box(box(10, 60, 110, 160), 4.0, 220, 120) == (0, 50, 120, 170)
    assert context_box(box(60, 10, 160, 110), 4.0, 120, 220) == (50, 0, 170, 120)


def test_a_crop_shows_the_face_in_the_middle_at_the_wanted_scale() -> None:
    image = np.zeros((400, 400, 3), dtype=np.uint8)
    image[160:240, 160:240] = 255
    (crop,) = context_crops(image, box(160, 160, 240, 240)[None], 4.0, 80, 80)
    assert np.unique(crop[32:48, 32:48]).tolist() == [255]
    assert not crop[:28].any()
    assert not crop[:, 52:].any()
    assert context_crops(image, np.empty((0, 4), np.float32), 4.0, 80, 64).shape == (0, 80, 64, 3)


def test_a_face_is_cropped_from_a_very_wide_panorama() -> None:
    image = np.full((100, 40_000, 3), 200, dtype=np.uint8)
    assert np.unique(context_crops(image, box(39_000, 40, 39_020, 60)[None], 2.7, 80, 80)).tolist() == [200]


def test_the_mean_of_the_nets_decides() -> None:
    one, other = faces((0.0, 0.9, 0.1), (0.9, 0.1, 0.0)), faces((0.4, 0.5, 0.1), (0.2, 0.6, 0.2))
    liveness = fuse([one, other], rule())
    assert liveness.is_real.tolist() == [True, False]
    np.testing.assert_allclose(liveness.p_real, [0.7, 0.35], rtol=1e-6)
    assert (liveness.is_real.dtype, liveness.p_real.dtype) == (np.bool_, np.float32)


@pytest.mark.parametrize(
    ("face", "min_real", "real"),
    [
        pytest.param((0.3, 0.45, 0.25), 0.5, False, id="the largest of three, but under the minimum"),
        pytest.param((0.3, 0.45, 0.25), 0.4, True, id="the pack may set a lower minimum"),
        pytest.param((0.0, 0.4, 0.6), 0.3, False, id="over the minimum, but another class is larger"),
        pytest.param((0.25, 0.5, 0.25), 0.5, True, id="exactly the minimum"),
        pytest.param((0.5, 0.5, 0.0), 0.5, False, id="no larger than a kind of spoof"),
        pytest.param((0.1, 0.85, 0.05), 0.9, False, id="the pack may set a higher minimum"),
        pytest.param((0.0, 1.0, 0.0), 1.0, True, id="certain"),
    ],
)
def test_real_is_the_largest_class_and_reaches_the_minimum(
    face: tuple[float, float, float], min_real: float, real: bool
) -> None:
    assert fuse([faces(face)], rule(min_real)).is_real.tolist() == [real]


@settings(deadline=None)
@given(nps.arrays(np.float32, (2, 7, 3), elements=st.floats(-20, 20, width=32)), st.floats(0, 1))
def test_no_face_is_real_under_the_minimum_or_behind_another_class(
    logits: NDArray[np.float32], min_real: float
) -> None:
    powers = np.exp(logits)
    answers = powers / powers.sum(axis=2, keepdims=True)
    liveness = fuse(list(answers), rule(min_real))
    mean = answers.mean(axis=0)
    assert (liveness.p_real[liveness.is_real] >= np.float32(min_real)).all()
    assert (mean[liveness.is_real, 1] > np.delete(mean[liveness.is_real], 1, axis=1).max(axis=1, initial=-1)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.1, 1.1], ids=str)
def test_an_answer_that_is_no_probability_is_an_error_and_never_a_verdict(value: float) -> None:
    for index in range(3):
        broken = faces(LIVE, LIVE)
        broken[1, index] = value
        with pytest.raises(RuntimeError, match="not probabilities"):
            fuse([faces(LIVE, LIVE), broken], rule())


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([faces((0.0, 0.0, 0.0))], id="all zeros"),
        pytest.param([faces((0.2, 1.0, 0.2))], id="more than one in all"),
        pytest.param([np.array([[0.2, 0.8]], dtype=np.float32)], id="two classes"),
        pytest.param([faces(LIVE), faces(LIVE, LIVE)], id="another number of faces"),
    ],
)
def test_answers_that_are_no_softmax_of_three_are_an_error_and_never_a_verdict(
    answers: list[NDArray[np.float32]],
) -> None:
    with pytest.raises(RuntimeError, match="not probabilities"):
        fuse(answers, rule())


@pytest.mark.parametrize("real_class", range(3))
def test_a_tie_is_never_real_whichever_class_is_the_live_one(real_class: int) -> None:
    """A dead net says so of everything."""
    even = faces((1 / 3, 1 / 3, 1 / 3))
    assert not fuse([even], rule(0.0, real_class=real_class)).is_real.any()


def test_nets_with_other_classes_are_fused_by_the_packs_own_rule() -> None:
    live_first = np.array([[0.8, 0.2], [0.3, 0.7]], dtype=np.float32)
    liveness = fuse([live_first], rule(classes=2, real_class=0))
    assert liveness.is_real.tolist() == [True, False]
    assert liveness.p_real.tolist() == pytest.approx([0.8, 0.3])
    with pytest.raises(RuntimeError):
        fuse([live_first], rule())
