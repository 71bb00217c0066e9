"""Tracks, fed with made faces and made answers: what is said of a face, and what never is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegate.cameras.frame import Frame
from facegate.cameras.tracking.tracks import HEARD_AFTER, MAX_AHEAD, Tracks
from facegate_client.errors import ServerFault
from facegate_client.results import Faces
from support.film import MODEL, PICTURE, SIDE, face, known_real, liveness


def test_there_is_no_verdict_before_the_third_judgement() -> None:
    film = liveness()
    found = [film.show(face(300))[0] for _ in range(4)]
    assert [each.is_real for each in found] == [None, None, True, True]
    assert [each.antispoof_score is None for each in found] == [True, True, False, False]
    assert [each.judgements for each in found] == [1, 2, 3, 3]
    assert [each.judgement is not None for each in found] == [True, True, True, False]


def test_sightings_come_in_the_order_of_the_faces() -> None:
    film = liveness()
    film.show(face(100), face(500))
    second, first = film.show(face(502), face(102), real=[False, True])
    assert (second.track, first.track) == (2, 1)
    assert second.judgement and first.judgement
    assert (second.judgement.is_real, first.judgement.is_real) == (False, True)
    assert (second.face.box, first.face.box) == (face(502).box, face(102).box)


def test_an_answer_that_lacks_the_liveness_asked_for_is_a_fault() -> None:
    with pytest.raises(ServerFault, match="liveness was asked for"):
        liveness().show(face(300), real=[None])


def test_an_answer_that_is_faulty_in_its_last_face_changes_nothing_and_all_are_due_again() -> None:
    film = liveness()
    for _ in range(3):
        with pytest.raises(ServerFault):
            film.show(face(100), face(500), real=[True, None])
    found = film.show(face(100), face(500))
    assert [(each.judgements, each.is_real) for each in found] == [(0, None)] * 2
    for _ in range(HEARD_AFTER + 2):
        found = film.show(face(100), face(500))
    assert [(each.judgements, each.is_real) for each in found] == [(3, True)] * 2


def test_an_answer_about_fewer_faces_is_a_fault() -> None:
    tracks = Tracks(anti_spoofing=True, embeddings=False)
    seen = tracks.see(Frame(0, 0.0, 0.0, 0.0, PICTURE), [face(100), face(500)])
    with pytest.raises(ServerFault, match="2 faces were asked about, 1 answered"):
        tracks.absorb(seen, Faces([replace(face(100), is_real=True, antispoof_score=0.9)], MODEL))


def test_frames_are_absorbed_in_turn() -> None:
    tracks = Tracks(anti_spoofing=True, embeddings=False)
    tracks.see(Frame(0, 0.0, 0.0, 0.0, PICTURE), [])
    later = tracks.see(Frame(1, 0.1, 0.0, 0.0, PICTURE), [])
    with pytest.raises(ValueError, match="1 is next"):
        tracks.absorb(later, None)


def test_frames_that_are_never_absorbed_do_not_pile_up() -> None:
    film = liveness(lag=1000)
    for _ in range(MAX_AHEAD):
        film.show(face(300))
    with pytest.raises(RuntimeError, match="not absorbed"):
        film.show(face(300))


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_a_senseless_interval_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="judge_every_s"):
        Tracks(anti_spoofing=True, embeddings=False, judge_every_s=wrong)


def test_a_track_ends_once_and_its_line_says_what_was_known() -> None:
    film = liveness()
    known_real(film, face(300))
    ended = []
    for _ in range(40):
        film.show()
        ended += film.tracks.ended()
    (line,) = ended
    assert (line.track, line.first_frame, line.last_frame, line.frames) == (1, 0, 4, 5)
    assert (line.is_real, line.judgements) == (True, 3)
    assert line.antispoof_score == pytest.approx(0.95) and line.last_s == pytest.approx(0.4)
    assert film.tracks.end() == []


def test_a_track_has_not_ended_before_its_frames_are_absorbed() -> None:
    film = liveness(lag=40)
    film.show(face(300))
    for _ in range(39):
        film.show()
    assert film.tracks.ended() == []
    film.show()
    assert [line.track for line in film.tracks.ended()] == [1]


def test_a_track_that_was_in_doubt_in_a_frame_that_is_never_absorbed_ends_not_checked() -> None:
    film = liveness()
    known_real(film, face(300))
    film.lag = 100
    film.show(face(300), face(320))
    assert film.tracks.end()[0].is_real is None


def test_at_the_cameras_end_all_tracks_are_over() -> None:
    film = liveness()
    film.show(face(100), face(500))
    assert [line.track for line in film.tracks.end()] == [1, 2]
    assert film.tracks.end() == []


@settings(deadline=None, max_examples=40)
@given(data=st.data(), lag=st.integers(0, 6), every_s=st.sampled_from([0.0, 0.5, 2.0]))
def test_nothing_wild_makes_a_face_real_without_three_real_judgements(
    data: st.DataObject, lag: int, every_s: float
) -> None:
    film = liveness(every_s, lag)
    judgements: dict[int, int] = {}
    real: dict[int, int] = {}  # judgements since the last doubt
    places = st.floats(-100, 700, width=32)
    for _ in range(data.draw(st.integers(1, 25))):
        faces = [
            face(x, y, side)
            for x, y, side in data.draw(
                st.lists(st.tuples(places, places, st.floats(1, 200, width=32)), max_size=4, unique=True)
            )
        ]
        truths = data.draw(st.lists(st.booleans(), min_size=len(faces), max_size=len(faces)))
        after_s = data.draw(st.sampled_from([0.0, 0.03, 0.1, 0.5, 4.0]))
        sightings = film.show(*faces, real=truths, fails=data.draw(st.booleans()), after_s=after_s)
        assert len({sighting.track for sighting in sightings}) == len(sightings)
        for sighting in sightings:
            number = sighting.track
            if sighting.judgements < min(judgements.get(number, 0) + (sighting.judgement is not None), 7):
                real[number] = 0
            judgements[number] = sighting.judgements
            real[number] = real.get(number, 0) + bool(sighting.judgement and sighting.judgement.is_real)
            assert number >= 1
            assert (sighting.is_real is None) == (sighting.antispoof_score is None)
            assert sighting.judgements >= 3 or sighting.is_real is None
            assert sighting.is_real is not True or real[number] >= 3
        film.tracks.ended()


@settings(deadline=None, max_examples=40)
@given(
    speed=st.floats(10, 35),
    gap=st.floats(-25, 25),
    fps=st.sampled_from([5.0, 10.0, 25.0]),
    turns=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_spoof_that_changes_places_with_a_real_face_is_never_called_real(
    speed: float, gap: float, fps: float, turns: bool, seed: int
) -> None:
    """They meet and go on, or turn back, which boxes alone cannot tell apart; up to 35 of 80 pixels a frame each."""
    film, random = liveness(fps=fps), np.random.default_rng(seed)
    for frame in range(int(600 / speed)):
        x = 60 + speed * frame
        if turns and x > 320:
            x = 640 - x
        real, fake = face(x + random.normal(0, 2), 240), face(640 - x + random.normal(0, 2), 240 + gap)
        if abs(real.box[0] - fake.box[0]) < SIDE / 3:
            (found,) = film.show(fake, real=False)  # the one behind is not detected
            assert found.is_real is not True
            continue
        _, spoof = film.show(real, fake, real=[True, False])
        assert spoof.is_real is not True


@settings(deadline=None, max_examples=15)
@given(lag=st.integers(0, HEARD_AFTER - 1), truths=st.lists(st.booleans(), min_size=30, max_size=60))
def test_however_late_answers_come_the_results_are_the_same(lag: int, truths: list[bool]) -> None:
    prompt, late = liveness(0.5), liveness(0.5, lag)
    at_once, later = [], []
    for x, truth in enumerate(truths):
        faces = face(200 + x), face(450 - 2 * x, 200)
        at_once.append(prompt.show(*faces, real=[truth, True]))
        later.append(late.show(*faces, real=[truth, True]))
    assert prompt.due == late.due
    assert at_once[: len(truths) - lag] == later[lag:]
