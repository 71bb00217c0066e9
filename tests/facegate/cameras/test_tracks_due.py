"""Which faces of a track are sent for judgement, and which never are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.cameras.frame import Frame
from facegate.cameras.tracking.due import BURST
from facegate.cameras.tracking.liveness import ENOUGH
from facegate.cameras.tracking.tracks import HEARD_AFTER, Tracks
from facegate_client.results import Face
from facegate_ensemble.errors import RequestError
from facegate_ensemble.triton.request import read_faces
from support.film import HEIGHT, PICTURE, WIDTH, Film, face, liveness


def test_a_new_face_is_judged_in_its_first_three_frames_and_then_every_two_seconds() -> None:
    film = liveness()
    for _ in range(50):
        film.show(face(300))
    assert [count for count, due in enumerate(film.due) if due] == [0, 1, 2, 22, 42]


def test_frame_by_frame_every_face_is_due_in_every_frame_even_where_faces_touch() -> None:
    film = liveness(judge_every_s=0)
    for _ in range(10):
        sightings = film.show(face(300), face(330))
    assert film.due == [2] * 10
    assert all(sighting.judgement and sighting.is_real is None for sighting in sightings)
    assert [sighting.judgements for sighting in sightings] == [0, 0]  # whose is whose, while they touch?


def test_nothing_is_due_where_nothing_was_asked_for() -> None:
    film = Film(Tracks(anti_spoofing=False, embeddings=False, judge_every_s=0))
    sightings = [film.show(face(300)) for _ in range(5)]
    assert sum(film.due) == 0
    assert all(found.is_real is None and found.judgement is None and found.embedding is None for (found,) in sightings)


def test_a_frame_that_shows_a_face_better_is_judged_at_once() -> None:
    film = liveness()
    for _ in range(6):
        film.show(face(300, side=24))
    for _ in range(3):
        film.show(face(300, side=40))
    assert film.due == [1, 1, 1, 0, 0, 0, 1, 0, 0]


def test_a_failed_call_makes_its_faces_due_again() -> None:
    film = liveness()
    for count in range(20):
        sightings = film.show(face(300), fails=count < 3)
    assert sum(film.due) == 6
    assert sightings[0].is_real is True and sightings[0].judgements == 3


def test_a_judgement_against_the_verdict_is_followed_up_until_it_is_settled() -> None:
    film = liveness()
    for count in range(60):
        (found,) = film.show(face(300), real=count < 10)
    first = film.due.index(1, 10)
    assert film.due[first + HEARD_AFTER : first + HEARD_AFTER + 3] == [1] * 3
    assert found.is_real is False and film.due[-5:] == [0] * 5


def test_a_face_on_which_the_nets_never_agree_is_not_judged_for_ever() -> None:
    film = liveness()
    for count in range(200):
        film.show(face(300), real=bool(count % 3))
    assert max(sum(film.due[start : start + 20]) for start in range(180)) <= BURST
    assert 10 + ENOUGH < sum(film.due) <= 40  # more than every two seconds, and not without end


@pytest.mark.parametrize(
    "hopeless",
    [
        face(-20),  # more than half outside, and the landmarks' mean
        replace(face(40), box=(-45.0, 200.0, 35.0, 280.0)),
        face(300, side=7.9),
        face(1e7),
        replace(face(300), landmarks=((-500.0, 200.0),) * 5),
        replace(face(300), box=(340.0, 280.0, 260.0, 200.0)),
    ],
)
def test_a_face_that_the_server_would_refuse_is_never_sent_and_stays_not_checked(hopeless: Face) -> None:
    film = liveness(judge_every_s=0)
    for _ in range(6):
        (found, good) = film.show(hopeless, face(500, 100))
    assert film.due == [1] * 6
    assert (found.is_real, found.antispoof_score, good.is_real) == (None, None, True)


edges = st.floats(-300, 900, width=32)


@given(values=st.lists(edges | st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=14, max_size=14))
def test_what_is_sent_is_what_the_server_takes(values: list[float]) -> None:
    points = tuple((values[i], values[i + 1]) for i in range(4, 14, 2))
    x1, y1, x2, y2 = values[:4]
    seen = Tracks(anti_spoofing=True, embeddings=False).see(
        Frame(0, 0.0, 0.0, 0.0, PICTURE), [Face((x1, y1, x2, y2), 0.9, points)]
    )
    row = np.array(values, dtype="<f4")
    try:
        read_faces(np.frombuffer(row.tobytes(), dtype=np.uint8), HEIGHT, WIDTH)
    except RequestError:
        assert len(seen.due) == 0
    else:
        assert np.array_equal(seen.due, [row])
