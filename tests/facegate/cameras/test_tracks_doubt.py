"""A verdict does not pass to another face, does not outlast its judgements, and ends at a cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegate.cameras.sighting import Sighting
from facegate.cameras.tracking.tracks import HEARD_AFTER, Tracks
from support.film import ANNA, BELA, HEIGHT, MODEL, PICTURE, SIDE, WIDTH, Film, apart, face, known_real, liveness


def test_faces_that_touch_are_not_checked_until_they_are_apart_and_judged_anew() -> None:
    film = liveness()
    known_real(film, face(200), face(400))
    found: list[Sighting] = []
    for x in range(200, 300, 10):  # until they are 120 apart: 0, then 100
        found = film.show(face(x), face(600 - x))
    assert {each.is_real for each in found} == {None}
    for x in range(300, 100, -10):
        found = film.show(face(x), face(600 - x))
    assert [each.is_real for each in found] == [True, True]


def test_a_track_that_was_fake_is_not_real_after_a_doubt_and_three_lucky_frames() -> None:
    film = liveness()
    for _ in range(5):
        (found,) = film.show(face(300), real=False)
    assert found.is_real is False
    (found,) = film.show(face(300), real=True, picture=255 - PICTURE)  # a cut
    assert found.is_real is None
    for _ in range(4):
        (found,) = film.show(face(300), real=True, picture=255 - PICTURE)
    assert found.judgements >= 3 and found.is_real is not True


def test_a_face_that_vanishes_behind_another_is_doubt_about_the_other() -> None:
    film = liveness()
    known_real(film, face(300), face(420))
    for x in range(310, 380, 10):
        (found,) = film.show(face(x))
    assert found.track == 1 and found.is_real is None


@pytest.mark.parametrize(("frames", "is_real"), [(2, True), (4, None)])
def test_a_face_that_was_lost_for_a_while_is_judged_anew(frames: int, is_real: bool | None) -> None:
    film = liveness()
    known_real(film, face(300))
    for _ in range(frames):
        film.show()
    (found,) = film.show(face(300), real=False)
    assert found.track == 1 and found.is_real is is_real


@pytest.mark.parametrize(("pause_s", "is_real"), [(1.0, True), (1.5, None)])
def test_at_a_frame_a_second_verdicts_hold_and_over_longer_gaps_they_do_not(
    pause_s: float, is_real: bool | None
) -> None:
    film = liveness()
    known_real(film, face(300))
    (found,) = film.show(face(300), after_s=pause_s)
    assert found.track == 1 and found.is_real is is_real


def test_a_box_that_jumps_is_judged_anew() -> None:
    film = liveness()
    known_real(film, face(300))
    (found,) = film.show(face(300 + 0.8 * SIDE), real=False)
    assert found.is_real is None


def test_another_persons_embedding_drops_all_that_was_known() -> None:
    film = Film(Tracks(anti_spoofing=True, embeddings=True))
    for _ in range(22):
        (found,) = film.show(face(300), who=[ANNA])
    assert found.is_real is True and found.embedding is not None and found.embedding @ ANNA == pytest.approx(1)
    (found,) = film.show(face(300), who=[BELA], real=False)
    assert (found.is_real, found.judgements) == (None, 1)
    assert found.embedding is not None and found.embedding @ BELA == pytest.approx(1)
    for _ in range(HEARD_AFTER + 3):
        (found,) = film.show(face(300), who=[BELA], real=False)
    assert found.is_real is False


def test_a_tracks_embedding_is_the_mean_of_length_one() -> None:
    film = Film(Tracks(anti_spoofing=False, embeddings=True, judge_every_s=0))
    film.show(face(300), who=[ANNA])
    (found,) = film.show(face(300), who=[(ANNA + BELA) / np.sqrt(np.float32(2))])
    assert found.embedding is not None and found.embedding.dtype == np.float32
    assert np.linalg.norm(found.embedding) == pytest.approx(1)
    assert 0 < found.embedding @ BELA < found.embedding @ ANNA
    assert found.embedding_digest == MODEL.embedding_digest and found.is_real is None


def test_nobody_is_the_face_of_a_fake_that_he_held_up_before() -> None:
    """Anna's photo first, then somebody like her but beyond the recognizer's threshold, himself, in the same place."""
    film = Film(Tracks(anti_spoofing=True, embeddings=True))
    for _ in range(30):
        (found,) = film.show(face(300), who=[ANNA], real=False)
    assert found.is_real is False and found.embedding is not None and found.embedding @ ANNA == pytest.approx(1)
    real = []
    for _ in range(100):
        (found,) = film.show(face(300), who=[apart(0.65)])
        real += [found] if found.is_real else []
    assert real
    for each in real:
        assert each.embedding is not None and 1 - each.embedding @ ANNA == pytest.approx(0.65, abs=1e-3)
        assert each.newest is not None and 1 - each.newest @ ANNA == pytest.approx(0.65, abs=1e-3)


def test_a_fake_frame_is_no_part_of_a_real_tracks_embedding_and_all_are_of_a_fake_tracks() -> None:
    film = Film(Tracks(anti_spoofing=True, embeddings=True, judge_every_s=0))
    for _ in range(7):
        film.show(face(300), who=[ANNA])
    (found,) = film.show(face(300), who=[apart(0.5)], real=False)
    assert found.is_real is True
    assert all(each is not None and each @ ANNA == pytest.approx(1) for each in (found.embedding, found.newest))
    for _ in range(3):
        (found,) = film.show(face(300), who=[apart(0.5)], real=False)
    assert found.is_real is False and found.newest is not None and found.embedding is not None
    assert 1 - found.newest @ ANNA == pytest.approx(0.5)
    assert 0.05 < 1 - found.embedding @ ANNA < 0.45


def test_an_embedding_is_compared_with_the_newest_too() -> None:
    film = Film(Tracks(anti_spoofing=False, embeddings=True, judge_every_s=0))
    for who in [ANNA] * 4 + [apart(0.5)]:
        film.show(face(300), who=[who])
    (found,) = film.show(face(300), who=[apart(0.5, -1)])  # near enough to the mean
    assert found.embedding is not None and found.embedding @ apart(0.5, -1) == pytest.approx(1)


def test_an_embedding_leaves_the_mean_with_its_judgement() -> None:
    film = Film(Tracks(anti_spoofing=True, embeddings=True, judge_every_s=0))
    for who in [ANNA] * 20 + [apart(0.5)] * 7:
        (found,) = film.show(face(300), who=[who])
    assert found.is_real is True and found.embedding is not None
    assert found.embedding @ apart(0.5) == pytest.approx(1)


def test_embeddings_of_two_recognizers_are_never_mixed() -> None:
    film = Film(Tracks(anti_spoofing=True, embeddings=True, judge_every_s=0))
    for _ in range(3):
        film.show(face(300), who=[ANNA])
    film.model = replace(MODEL, embedding_digest="other")
    (found,) = film.show(face(300), who=[(ANNA + BELA) / np.sqrt(np.float32(2))])
    assert found.embedding_digest == "other" and found.is_real is True
    assert found.embedding is not None and found.embedding @ BELA == pytest.approx(np.sqrt(0.5))


def test_judgements_of_other_nets_are_never_mixed() -> None:
    film = liveness()
    known_real(film, face(300))
    film.model = replace(MODEL, digest="other")
    for _ in range(18):
        (found,) = film.show(face(300))
    assert (found.is_real, found.judgements) == (None, 1)
    for _ in range(HEARD_AFTER + 3):
        (found,) = film.show(face(300))
    assert (found.is_real, found.judgements) == (True, 3)


def test_a_face_whose_embedding_could_not_be_made_still_has_its_liveness() -> None:
    film = Film(Tracks(anti_spoofing=True, embeddings=True))
    for _ in range(3):
        (found,) = film.show(face(300))
    assert (found.is_real, found.embedding, found.embedding_digest) == (True, None, None)


@pytest.mark.parametrize(("every_s", "kept_s"), [(0.5, 2.0), (2.0, 4.0)])
def test_a_verdict_is_forgotten_when_judging_fails_for_long(every_s: float, kept_s: float) -> None:
    film = Film(Tracks(anti_spoofing=True, embeddings=True, judge_every_s=every_s))
    for _ in range(3):
        film.show(face(300), who=[ANNA])
    last_s = film.media_s
    for _ in range(60):
        (found,) = film.show(face(300), who=[ANNA], fails=True)
        kept = film.media_s <= last_s + kept_s
        assert (found.is_real is True, found.embedding is not None, found.newest is not None) == (kept,) * 3
    for _ in range(2 * HEARD_AFTER + 3):  # until it is asked again, and heard
        (found,) = film.show(face(300), who=[ANNA])
    assert found.is_real is True and found.judgements >= 3


def test_one_call_that_fails_costs_no_verdict() -> None:
    film = liveness()
    known_real(film, face(300))
    for _ in range(60):
        (found,) = film.show(face(300), fails=2.0 <= film.media_s < 2.2)
        assert found.is_real is True


def test_a_face_that_cannot_be_sent_any_more_is_not_checked_in_the_end() -> None:
    film = liveness()
    for x in range(300, -10, -10):
        (found,) = film.show(face(x))
    assert found.is_real is True
    for _ in range(60):
        (found,) = film.show(face(-10))
    assert found.track == 1 and (found.is_real, found.judgements) == (None, 0)
    assert [line.is_real for line in film.tracks.end()] == [None]


def test_after_being_forgotten_a_face_is_judged_as_a_new_one() -> None:
    film = liveness()
    known_real(film, face(300))
    for _ in range(45):
        film.show(face(300), fails=True)
    before = len(film.due)
    for _ in range(12):
        (found,) = film.show(face(300))
    assert sum(film.due[before:]) >= 3 and found.is_real is True


def other_picture(seed: int, height: int = HEIGHT) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (height, WIDTH, 3), dtype=np.uint8)


def test_in_a_folder_of_portraits_no_picture_has_the_verdict_of_those_before() -> None:
    film = liveness(judge_every_s=0)
    for count in range(20):
        (found,) = film.show(face(300), real=count < 3, picture=other_picture(count))
        assert (found.is_real, found.judgements) == (None, 1)


@pytest.mark.parametrize("picture", [other_picture(1), other_picture(0, HEIGHT - 2)], ids=["content", "size"])
def test_after_a_cut_all_are_judged_anew(picture: NDArray[np.uint8]) -> None:
    film = liveness()
    known_real(film, face(200), face(400))
    found = film.show(face(200), face(400), real=False, picture=picture)
    assert [(each.is_real, each.judgements) for each in found] == [(None, 1)] * 2
    for _ in range(2):
        found = film.show(face(200), face(400), real=False, picture=picture)
    assert [each.is_real for each in found] == [False] * 2


def test_a_track_that_ends_with_a_cut_keeps_its_last_verdict() -> None:
    film = liveness()
    known_real(film, face(200), face(400))
    film.show(face(400), picture=other_picture(1))
    assert [line.is_real for line in film.tracks.end()] == [True, None]


@pytest.mark.parametrize("side", [0.4 * SIDE, 2.2 * SIDE])
@pytest.mark.parametrize("frames", [0, 2, 8, 20])
def test_a_new_face_where_another_was_lost_is_judged_at_once_and_for_itself(frames: int, side: float) -> None:
    """Of another size, so that it is no track's that is there already."""
    film = liveness()
    for _ in range(40):  # for long, so that it is waited for
        (lost,) = film.show(face(300))
    assert lost.is_real is True
    for _ in range(frames):
        film.show()
    found = [film.show(face(300, side=side), real=False)[0] for _ in range(40)]
    assert {each.track for each in found} == {2}
    assert [each.is_real for each in found[:3]] == [None, None, False]
    assert {each.is_real for each in found[3:]} == {False}


def test_a_face_that_was_there_before_another_vanished_behind_it_is_still_in_doubt() -> None:
    film = liveness()
    for _ in range(40):
        film.show(face(300), face(400))
    for x in range(400, 330, -10):  # the right one goes behind the left one
        film.show(face(300), face(x), real=[True, False])
    found = [film.show(face(300))[0] for _ in range(10)]
    assert {(each.track, each.is_real) for each in found} == {(1, None)}


@settings(deadline=None, max_examples=30)
@given(
    gap=st.integers(0, 35),
    side=st.floats(30, 260),
    shift=st.floats(-80, 80),
    fps=st.sampled_from([5.0, 10.0, 25.0]),
)
def test_a_spoof_that_comes_where_a_real_face_was_lost_is_never_called_real(
    gap: int, side: float, shift: float, fps: float
) -> None:
    film = liveness(fps=fps)
    for _ in range(30):
        film.show(face(300))
    lost_s = film.media_s
    for _ in range(gap):
        film.show()
    for _ in range(40):
        (found,) = film.show(face(300 + shift, side=side), real=False)
        same_track_at_once = found.track == 1 and film.media_s - lost_s < 2.5
        assert found.is_real is not True or same_track_at_once
