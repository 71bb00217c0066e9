from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.cameras.tracking.liveness import ENOUGH, FAKE_UNDER, REAL_FROM, TrackLiveness

scores = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def after(*judged: float) -> TrackLiveness:
    liveness = TrackLiveness()
    for score in judged:
        liveness.add(score >= 0.5, score)
    return liveness


def test_two_judgements_are_not_a_check() -> None:
    liveness = after(0.99, 0.99)
    assert (liveness.is_real, liveness.score, liveness.judgements) == (None, None, 2)


@pytest.mark.parametrize(
    ("judged", "is_real"),
    [
        ((0.9, 0.9, 0.9), True),
        ((0.9, 0.1, 0.9), None),  # one blurred frame of three: wait for the fourth
        ((0.9, 0.1, 0.9, 0.9), True),
        ((0.9, 0.1, 0.9, 0.1), False),
        ((0.9, 0.1, 0.1), False),
        ((0.55, 0.55, 0.55), False),  # each real by a hair
        ((0.1, 0.99, 0.1, 0.99, 0.1, 0.99, 0.1), False),
    ],
)
def test_the_first_verdict_needs_a_mean_and_a_majority(judged: tuple[float, ...], is_real: bool | None) -> None:
    assert after(*judged).is_real is is_real


def test_a_real_face_stays_real_between_the_two_thresholds() -> None:
    assert after(0.9, 0.9, 0.9, 0.55, 0.55, 0.55, 0.55, 0.55, 0.55).is_real is True
    assert after(0.1, 0.1, 0.1, 0.55, 0.55, 0.55, 0.55, 0.55, 0.55).is_real is False


def test_one_fake_frame_does_not_flip_a_real_face_nor_one_real_frame_a_fake() -> None:
    assert after(0.9, 0.9, 0.9, 0.9, 0.0).is_real is True
    assert after(0.1, 0.1, 0.1, 0.1, 1.0).is_real is False


def test_a_spoof_in_a_real_faces_place_outvotes_it_in_four_judgements() -> None:
    assert after(*[0.99] * 50, *[0.01] * 4).is_real is False


def test_who_was_fake_takes_a_whole_window_of_real_judgements() -> None:
    assert after(*[0.01] * 50, *[0.99] * 6).is_real is False
    assert after(*[0.01] * 50, *[0.99] * 7).is_real is True
    assert after(*[0.99] * 50, *[0.01] * 4, *[0.99] * 6).is_real is False


def test_a_track_that_was_fake_before_a_doubt_is_not_real_after_three_lucky_frames() -> None:
    liveness = TrackLiveness(wary=after(0.01, 0.01, 0.01).wary)
    for _ in range(6):
        liveness.add(True, 0.99)
        assert liveness.is_real is not True
    liveness.add(True, 0.99)
    assert liveness.is_real is True


def test_what_the_pack_calls_fake_is_not_made_real_by_a_high_mean() -> None:
    liveness = TrackLiveness()
    for _ in range(7):
        liveness.add(False, 0.65)  # a pack whose threshold is 0.7
    assert liveness.is_real is False


def test_it_is_settled_when_the_last_three_agree_with_the_verdict() -> None:
    assert not after(0.9, 0.1, 0.9).settled
    assert after(0.9, 0.9, 0.9).settled
    assert not after(0.9, 0.9, 0.9, 0.1).settled
    assert after(0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9).settled


@given(judged=scores)
def test_verdict_and_score_come_and_are_missing_together(judged: list[float]) -> None:
    liveness = after(*judged)
    assert (liveness.is_real is None) == (liveness.score is None)
    assert liveness.is_real is None if len(judged) < ENOUGH else liveness.is_real is not None or len(judged) == ENOUGH


@given(judged=scores)
def test_real_is_never_said_against_the_mean_or_the_majority(judged: list[float]) -> None:
    liveness, before = TrackLiveness(), None
    for count, score in enumerate(judged, 1):
        liveness.add(score >= 0.5, score)
        if liveness.is_real:
            assert sum(score >= 0.5 for score in judged[:count][-7:]) >= ENOUGH
            assert liveness.score is not None
            assert liveness.score >= (FAKE_UNDER if before else REAL_FROM)
        before = liveness.is_real
    last = judged[-7:]
    assert not (liveness.is_real and sum(score >= 0.5 for score in last) <= len(last) / 2)
