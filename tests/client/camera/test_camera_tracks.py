"""Tracks, fed with made faces and made answers: what is due, what is said of a face, and what never is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ensemble.errors import RequestError
from ensemble.request import read_faces
from facegate_client.camera.frame import Frame
from facegate_client.camera.sighting import Sighting
from facegate_client.camera.tracks.due import BURST
from facegate_client.camera.tracks.liveness import ENOUGH
from facegate_client.camera.tracks.tracks import HEARD_AFTER, MAX_AHEAD, Seen, Tracks
from facegate_client.errors import ServerFault
from facegate_client.results import Face, Faces, Model

WIDTH, HEIGHT, SIDE = 640, 480, 80.0
PICTURE = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
MODEL = Model("made", "MIT", True, "digest", "embedding digest", "fp32")
_POINTS = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
ANNA, BELA = np.eye(4, dtype=np.float32)[:2]


def face(x: float, y: float = 240, side: float = SIDE, score: float = 0.9) -> Face:
    """A face whose box has its centre at x, y."""
    left, top = x - side / 2, y - side / 2
    points = tuple((left + side * u, top + side * v) for u, v in _POINTS)
    return Face((left, top, left + side, top + side), score, points)


@dataclass
class Film:
    """Shows frames to Tracks and answers what is due, `lag` frames later."""

    tracks: Tracks
    lag: int = 0
    fps: float = 10.0
    model: Model = MODEL
    count: int = 0
    media_s: float = 0.0
    waiting: list[tuple[Seen, Faces | None]] = field(default_factory=list)
    due: list[int] = field(default_factory=list)
    numbers: list[list[int]] = field(default_factory=list)

    def show(
        self,
        *faces: Face,
        real: Sequence[bool | None] | bool = True,
        who: Sequence[np.ndarray] | None = None,
        fails: bool = False,
        after_s: float | None = None,
        picture: NDArray[np.uint8] = PICTURE,
    ) -> list[Sighting]:
        """The sightings of the frame that is absorbed now. `real` and `who` are the truth of each face."""
        if self.count:
            self.media_s += 1 / self.fps if after_s is None else after_s
        frame = Frame(self.count, self.media_s, 0.0, 0.0, picture)
        self.count += 1
        seen = self.tracks.see(frame, faces)
        truths = [real] * len(faces) if isinstance(real, bool) else list(real)
        rows = [next(i for i, each in enumerate(faces) if same(each, row)) for row in seen.due]
        answers = Faces(
            (
                replace(
                    faces[i],
                    score=1.0,
                    is_real=truths[i],
                    antispoof_score=None if truths[i] is None else 0.95 if truths[i] else 0.05,
                    embedding=None if who is None else who[i],
                )
                for i in rows
            ),
            self.model,
        )
        self.due.append(len(seen.due))
        self.waiting.append((seen, None if fails or not len(seen.due) else answers))
        if len(self.waiting) <= self.lag:
            return []
        return self.tracks.absorb(*self.waiting.pop(0))


def apart(distance: float, side: float = 1.0) -> NDArray[np.float32]:
    """An embedding at a cosine distance from Anna's, towards Bela's or, `side` being -1, away from it."""
    return np.asarray((1 - distance) * ANNA + side * np.sqrt(1 - (1 - distance) ** 2) * BELA, dtype=np.float32)


def same(face: Face, row: np.ndarray) -> bool:
    return bool(np.array_equal(np.array(face.box, dtype=np.float32), row[:4]))


def liveness(judge_every_s: float = 2.0, lag: int = 0, fps: float = 10.0) -> Film:
    return Film(Tracks(anti_spoofing=True, embeddings=False, judge_every_s=judge_every_s), lag, fps)


def known_real(film: Film, *faces: Face) -> None:
    """Shows the faces until they have a verdict, which is real."""
    for _ in range(5):
        sightings = film.show(*faces)
    assert [sighting.is_real for sighting in sightings] == [True] * len(faces)


# What is due


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


# What is said


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


# A verdict does not pass to another face


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


# A verdict does not outlast its judgements


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


# Another picture is another face


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


# The end of tracks


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


# Whatever comes


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
