"""The tracker, fed with boxes whose people are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.cameras.tracking.box_tracker import MAX_LIVE, OVER_S, Array, BoxTracker, overlap

SIDE = 80.0
Path = Callable[[float], tuple[float, float]]


def box(x: float, y: float, side: float = SIDE) -> list[float]:
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def follow(paths: list[Path], times: list[float], misses: float = 0.0, seed: int = 0) -> tuple[int, int]:
    """Identity switches, and faces shown: each path's face at each time, with a detector's noise and misses."""
    rng = np.random.default_rng(seed)
    tracker, last = BoxTracker(), dict[int, int]()
    switches = shown = 0
    for time in times:
        there = [person for person in range(len(paths)) if rng.random() >= misses]
        rng.shuffle(there)
        boxes = np.array([box(*paths[person](time)) for person in there]).reshape(-1, 4)
        boxes += rng.normal(0, 0.03 * SIDE, boxes.shape)
        for person, match in zip(there, tracker.update(time, boxes), strict=True):
            switches += last.get(person, match.track) != match.track
            last[person] = match.track
            shown += 1
    return switches, shown


def walkers(count: int = 6) -> list[Path]:
    """People who sway and walk on the spot, a face and a half apart."""

    def path(index: int) -> Path:
        return lambda t: (100 + 200 * index + 50 * np.sin(1.3 * t + index), 300 + 20 * np.sin(2.9 * t + 2 * index))

    return [path(index) for index in range(count)]


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_faces_that_keep_apart_keep_their_numbers(fps: int) -> None:
    assert follow(walkers(), [frame / fps for frame in range(20 * fps)])[0] == 0


@pytest.mark.parametrize("fps", [10, 30])
def test_a_fifth_of_the_detections_missing_costs_at_most_one_switch_in_a_thousand(fps: int) -> None:
    switches, shown = follow(walkers(), [frame / fps for frame in range(20 * fps)], misses=0.2)
    assert switches <= shown / 1000


def test_frames_that_were_dropped_at_random_cost_at_most_one_switch_in_a_thousand() -> None:
    rng = np.random.default_rng(1)
    switches, shown = follow(walkers(), [frame / 20 for frame in range(800) if rng.random() < 0.5])
    assert switches <= shown / 1000


@pytest.mark.parametrize("speed", [100.0, 300.0])
def test_two_who_pass_each_other_keep_their_numbers(speed: float) -> None:
    paths: list[Path] = [lambda t: (200 + speed * t, 300), lambda t: (1000 - speed * t, 330)]
    assert follow(paths, [frame / 15 for frame in range(int(15 * 800 / speed))])[0] == 0


def test_a_face_that_was_hidden_for_a_second_is_known_again_and_said_to_have_been_lost() -> None:
    tracker = BoxTracker()
    for frame in range(10):
        tracker.update(frame / 10, np.array([box(300 + frame, 300)]))
    for frame in range(10, 20):
        tracker.update(frame / 10, np.empty((0, 4)))
    (match,) = tracker.update(2.0, np.array([box(320, 300)]))
    assert (match.track, match.new, match.missed) == (1, False, 10)
    assert match.gap_s == pytest.approx(1.1)


def test_after_too_long_it_is_somebody_new() -> None:
    tracker = BoxTracker()
    for frame in range(30):
        tracker.update(frame / 10, np.array([box(300, 300)]))
    (match,) = tracker.update(2.9 + OVER_S + 0.1, np.array([box(300, 300)]))
    assert (match.track, match.new) == (2, True)


def test_time_that_runs_backwards_is_another_film() -> None:
    tracker = BoxTracker()
    tracker.update(5.0, np.array([box(300, 300)]))
    assert tracker.update(0.0, np.array([box(300, 300)]))[0].track == 2
    assert list(tracker.live) == [2]


def test_a_box_that_jumps_is_said_to() -> None:
    tracker = BoxTracker()
    for frame in range(10):
        tracker.update(frame / 10, np.array([box(300, 300)]))
    assert tracker.update(1.0, np.array([box(305, 300)]))[0].overlap > 0.8
    match = tracker.update(1.1, np.array([box(305 + 0.9 * SIDE, 300)]))[0]
    assert match.new or match.overlap < 0.2


wild = st.floats(width=32, allow_nan=False, allow_infinity=False)
wild_boxes = st.lists(st.lists(wild | st.floats(0, 500), min_size=4, max_size=4), max_size=6)


@given(frames=st.lists(st.tuples(st.floats(0, 10), wild_boxes), max_size=12))
def test_whatever_is_detected_gets_a_number_of_its_own_and_none_twice(
    frames: list[tuple[float, list[list[float]]]],
) -> None:
    tracker, newest, alive = BoxTracker(), 0, set[int]()
    for time, boxes in frames:
        matches = tracker.update(time, np.array(boxes, dtype=np.float64).reshape(-1, 4))
        numbers = [match.track for match in matches]
        assert len(set(numbers)) == len(boxes)
        for match in matches:
            assert match.new == (match.track > newest) and (match.new or match.track in alive)
            newest = max(newest, match.track)
        alive = set(tracker.live)
        assert all(np.isfinite(now).all() for _, now in tracker.live.values())


def test_what_is_remembered_has_a_limit() -> None:
    tracker, rng = BoxTracker(), np.random.default_rng(0)
    for frame in range(8):
        corners: Array = rng.uniform(0, 90_000, (400, 2))
        matches = tracker.update(frame / 100, np.hstack([corners, corners + 8]))
        assert {match.track for match in matches} <= set(tracker.live)
    assert len(tracker.live) <= MAX_LIVE + 400


def test_overlap_is_intersection_over_union() -> None:
    a, b = np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10]])
    assert overlap(a, b) == pytest.approx([1 / 3, 0, 1])
