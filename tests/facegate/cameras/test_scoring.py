"""The benchmark's counting of tracks and verdicts, on frames made by hand."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.tracks.scenes import people_of
from benchmarks.tracks.scores import Split, iou, match, score_tracks, score_verdicts
from facegate.cameras.sighting import Sighting
from facegate.cameras.synthetic.scene import Truth
from facegate_client.results import Box, Face

LEFT, RIGHT, FAR = (0.0, 0.0, 40.0, 50.0), (100.0, 0.0, 140.0, 50.0), (300.0, 0.0, 340.0, 50.0)


def truth(face: int, box: Box, visible: float = 1.0, crossing: bool = False, spoof: bool = False) -> Truth:
    return Truth(face, box, visible, crossing, 0.0, spoof)


def sighting(track: int, box: Box, is_real: bool | None = None) -> Sighting:
    return Sighting(track, Face(box, 0.9, ((0.0, 0.0),) * 5), 0.5, is_real)


BOTH = [truth(0, LEFT), truth(1, RIGHT)]


def test_tracks_that_stay_with_their_faces_never_switch() -> None:
    score = score_tracks([(BOTH, [sighting(8, RIGHT), sighting(7, LEFT)])] * 5)
    assert (score.face_frames, score.switches) == (Split(plain=10), Split())
    assert (score.missed, score.false, score.tracks, score.false_tracks) == (0, 0, 2, 0)


def test_two_who_change_tracks_are_two_switches_once() -> None:
    before, after = [sighting(1, LEFT), sighting(2, RIGHT)], [sighting(2, LEFT), sighting(1, RIGHT)]
    assert score_tracks([(BOTH, before), (BOTH, after), (BOTH, after)]).switches == Split(plain=2)


def test_a_face_that_gets_a_new_track_after_a_miss_has_switched() -> None:
    score = score_tracks([(BOTH[:1], [sighting(1, LEFT)]), (BOTH[:1], []), (BOTH[:1], [sighting(2, LEFT)])])
    assert (score.switches, score.missed) == (Split(plain=1), 1)


def test_a_switch_belongs_to_the_crossing_since_the_match_before() -> None:
    crossing = [truth(0, LEFT, crossing=True)]
    frames = [(BOTH[:1], [sighting(1, LEFT)]), (crossing, []), (BOTH[:1], [sighting(2, LEFT)])]
    assert score_tracks(frames).switches == Split(crossing=1)


def test_a_switch_belongs_to_the_occlusion_since_the_match_before() -> None:
    frames = [(BOTH[:1], [sighting(1, LEFT)]), ([truth(0, LEFT, 0.3)], []), (BOTH[:1], [sighting(2, LEFT)])]
    score = score_tracks(frames)
    assert (score.switches, score.face_frames, score.missed) == (Split(occluded=1), Split(plain=1, occluded=1), 0)


def test_who_was_away_may_come_back_as_another_track() -> None:
    frames = [(BOTH[:1], [sighting(1, LEFT)]), ([], []), (BOTH[:1], [sighting(2, LEFT)])]
    score = score_tracks(frames)
    assert (score.switches, score.face_frames) == (Split(absent=1), Split(absent=1, plain=1))


def test_what_is_no_face_is_false() -> None:
    score = score_tracks([(BOTH[:1], [sighting(1, LEFT), sighting(2, FAR)]), (BOTH[:1], [sighting(1, FAR)])])
    assert (score.false, score.tracks, score.false_tracks, score.missed) == (2, 2, 1, 1)


def test_a_match_is_kept_while_it_holds_as_in_clear_mot() -> None:
    near = (10.0, 0.0, 50.0, 50.0)  # IoU 0.6 with LEFT
    sightings = [sighting(1, near), sighting(2, LEFT)]
    assert match([truth(0, LEFT)], sightings, {}) == {0: 1}
    assert match([truth(0, LEFT)], sightings, {0: 1}) == {0: 0}
    assert match([truth(0, LEFT), truth(1, near)], sightings, {1: 1}) == {1: 0, 0: 1}


def test_the_most_overlap_in_all_wins_not_the_first_come() -> None:
    a, b = (0.0, 0.0, 100.0, 10.0), (20.0, 0.0, 120.0, 10.0)
    middle, beyond = (14.0, 0.0, 114.0, 10.0), (-25.0, 0.0, 75.0, 10.0)
    assert match([truth(0, a), truth(1, b)], [sighting(1, middle), sighting(2, beyond)], {}) == {0: 1, 1: 0}


def test_what_cannot_be_seen_is_not_matched() -> None:
    assert match([truth(0, LEFT, 0.05)], [sighting(1, LEFT)], {0: 1}) == {}
    assert match([truth(0, LEFT)], [sighting(1, (30.0, 0.0, 70.0, 50.0))], {}) == {}


def test_verdicts_are_counted_by_face_whatever_the_track() -> None:
    spoof = [truth(0, LEFT, spoof=True)]
    said: list[bool | None] = [None, False, None, False, True, None, False]
    score = score_verdicts((spoof, [sighting(at, LEFT, verdict)]) for at, verdict in enumerate(said))[0]
    assert (score.spoof, score.real, score.fake, score.not_checked, score.changes) == (True, 1, 3, 3, 2)


boxes = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(
    lambda at: (10.0 * at[0], 10.0 * at[1], 10.0 * at[0] + 30, 10.0 * at[1] + 30)
)
truths = st.lists(st.tuples(st.integers(0, 4), boxes, st.floats(0, 1)), max_size=5, unique_by=lambda each: each[0])
sightings = st.lists(st.tuples(st.integers(1, 9), boxes), max_size=6, unique_by=lambda each: each[0])


@given(st.lists(st.tuples(truths, sightings), max_size=12))
def test_every_sighting_and_every_face_is_counted_once(
    film: list[tuple[list[tuple[int, Box, float]], list[tuple[int, Box]]]],
) -> None:
    frames = [([truth(*each) for each in there], [sighting(*each) for each in seen]) for there, seen in film]
    score = score_tracks(frames)
    matched = sum(vars_of(score.face_frames))
    assert matched + score.false == sum(len(seen) for _, seen in frames)
    assert matched + score.missed <= sum(len(there) for there, _ in frames)
    assert matched + score.missed >= sum(each.visible >= 0.5 for there, _ in frames for each in there)
    pairs = zip(vars_of(score.switches), vars_of(score.face_frames), strict=True)
    assert all(switches <= face_frames for switches, face_frames in pairs)


@given(truths, sightings, st.dictionaries(st.integers(0, 4), st.integers(1, 9)))
def test_a_match_is_one_to_one_and_overlaps(
    there: list[tuple[int, Box, float]], seen: list[tuple[int, Box]], last: dict[int, int]
) -> None:
    faces, found = [truth(*each) for each in there], [sighting(*each) for each in seen]
    matched = match(faces, found, last)
    assert len(set(matched.values())) == len(matched)
    box_of = {each.face: each.box for each in faces}
    assert all(iou(box_of[face], found[at].face.box) >= 0.4 for face, at in matched.items())


def test_people_are_one_photo_each(tmp_path: Path) -> None:
    rows = ["image_1,image_2,same_person", "a,b,1", "c,d,1", "a,c,0", "b,c,0", "d,e,0", "e,a,0"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    assert people_of(tmp_path) == ["a", "c", "e"]


def vars_of(split: Split) -> tuple[int, ...]:
    return split.absent, split.crossing, split.occluded, split.plain
