"""The verdict: near enough and, where it was asked for, both faces live."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegate_ensemble.pipeline.liveness import Liveness
from facegate_ensemble.pipeline.verification import judge

angle = st.floats(0, math.pi)
threshold = st.floats(0, 2, exclude_min=True)


def apart(radians: float) -> NDArray[np.float32]:
    """Two embeddings with this angle between them."""
    return np.array([[1, 0, 0], [math.cos(radians), math.sin(radians), 0]], dtype=np.float32)


def live(first: bool, second: bool) -> Liveness:
    return Liveness(np.array([first, second]), np.array([0.9 if real else 0.1 for real in (first, second)], np.float32))


def test_one_person_is_verified_and_two_are_not() -> None:
    assert judge(apart(0.5), 0.5, None).verified
    assert not judge(apart(1.5), 0.5, None).verified


@pytest.mark.parametrize("reals", [(False, True), (True, False), (False, False)])
def test_a_face_that_is_not_live_vetoes_even_a_perfect_match(reals: tuple[bool, bool]) -> None:
    verdict = judge(apart(0.0), 2.0, live(*reals))
    assert not verdict.verified
    assert verdict.distance == 0.0
    assert verdict.liveness is not None


@settings(deadline=None)
@given(angle, threshold, st.booleans(), st.booleans())
def test_verified_means_near_enough_and_both_faces_live(
    radians: float, limit: float, first: bool, second: bool
) -> None:
    verdict = judge(apart(radians), limit, live(first, second))
    assert verdict.verified == (verdict.distance < limit and first and second)


@settings(deadline=None)
@given(angle, threshold)
def test_distance_and_confidence_stay_in_their_ranges(radians: float, limit: float) -> None:
    verdict = judge(apart(radians), limit, None)
    assert 0 <= verdict.distance <= 2
    assert 0 <= verdict.confidence <= 100
    assert verdict.confidence == 0 or verdict.distance < limit


def test_a_distance_of_exactly_the_threshold_is_not_verified() -> None:
    pair = np.array([[1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]], dtype=np.float32)  # 1 - 0.5, exactly
    assert not judge(pair, 0.5, None).verified
    assert judge(pair, math.nextafter(0.5, 1), None).verified


@pytest.mark.parametrize(("radians", "confidence"), [(0.0, 100.0), (math.pi / 3, 50.0), (math.pi / 2, 0.0), (3.0, 0.0)])
def test_confidence_falls_from_100_to_0_at_the_threshold(radians: float, confidence: float) -> None:
    assert judge(apart(radians), 1.0, None).confidence == pytest.approx(confidence, abs=1e-4)


def test_rounding_never_makes_a_distance_negative() -> None:
    pair = np.full((2, 3), 1 / math.sqrt(3), dtype=np.float32) * np.float32(1 + 1e-6)
    assert judge(pair, 0.5, None).distance == 0.0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_cosine_out_of_range_is_an_error_and_never_a_verdict(sign: int) -> None:
    """Each embedding is of length one within 0.1 %; their cosine is 1.0016."""
    pair = np.array([[1, 0, 0], [sign, 0, 0]], dtype=np.float32) * np.float32(1.0008)
    with pytest.raises(RuntimeError, match="cosine"):
        judge(pair, 0.5, None)


@pytest.mark.parametrize("length", [1.005, 0.995, 0.0])
def test_embeddings_that_are_not_of_length_one_are_an_error(length: float) -> None:
    with pytest.raises(RuntimeError, match="length one"):
        judge(apart(0.1) * np.float32(length), 0.5, None)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_embeddings_that_are_not_finite_are_an_error_and_never_a_verdict(value: float) -> None:
    pair = apart(0.1)
    pair[1, 0] = value
    with pytest.raises(RuntimeError, match="not finite"):
        judge(pair, 0.5, None)


def test_embeddings_that_are_not_of_length_one_are_an_error_and_never_a_verdict() -> None:
    with pytest.raises(RuntimeError):
        judge(apart(1.0) * 3, 0.5, None)


def test_a_liveness_check_of_other_than_two_faces_is_an_error_and_never_a_verdict() -> None:
    with pytest.raises(RuntimeError):
        judge(apart(0.0), 0.5, Liveness(np.empty(0, np.bool_), np.empty(0, np.float32)))
