"""Candidates to faces: what overlaps is one face, what is no box is no face, and pixels are the image's."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegate_client.contract import SeveralFaces
from facegate_ensemble.pipeline.detection import Faces, choose_face, select_faces

Corners = tuple[int, int, int, int]
GOOD = (10.0, 10.0, 30.0, 30.0)


APART = np.zeros((5, 2), dtype=np.float32)
APART[4] = 2


def selected(boxes: object, scores: object = None, landmarks: object = None, **options: float) -> Faces:
    """Each candidate's landmarks tell its number, unless they are given."""
    corners = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    count = len(corners)
    if landmarks is None:
        landmarks = np.arange(count, dtype=np.float32)[:, None, None] + APART
    return select_faces(
        corners,
        np.full(count, 0.9, dtype=np.float32) if scores is None else np.array(scores, dtype=np.float32),
        np.asarray(landmarks, dtype=np.float32),
        **{"factor": 1.0, "min_score": 0.5, "nms_iou": 0.5, "max_faces": 1024} | options,  # type: ignore[arg-type]
    )


def numbers(faces: Faces) -> list[int]:
    return [int(number) for number in faces.landmarks[:, 0, 0]]


def overlap(a: Corners, b: Corners) -> Fraction:
    """Intersection over union, exactly."""
    wide = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b)) - wide * high
    return Fraction(wide * high, union)


side = st.integers(0, 12)
candidate = st.tuples(side, side, side, side)


@settings(deadline=None)
@given(st.lists(candidate, max_size=25), st.integers(0, 8), st.integers(1, 30))
def test_exactly_the_best_of_overlapping_candidates_are_faces(boxes: list[Corners], eighths: int, limit: int) -> None:
    expected: list[int] = []
    for number, box in enumerate(boxes):
        sized = box[0] < box[2] and box[1] < box[3]
        if sized and all(overlap(box, boxes[better]) <= Fraction(eighths, 8) for better in expected):
            expected.append(number)
    assert numbers(selected(boxes, nms_iou=eighths / 8, max_faces=limit)) == expected[:limit]


def test_of_equal_scores_the_detectors_first_is_kept() -> None:
    apart = (50.0, 50.0, 70.0, 70.0)
    for _ in range(3):
        assert numbers(selected([apart, GOOD, GOOD, apart, GOOD])) == [0, 1]


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 10, 30),
        (10, 10, 30, 10),
        (30, 10, 10, 30),
        (10, 30, 30, 10),
        (np.nan, 10, 30, 30),
        (10, 10, np.inf, 30),
        (-np.inf, 10, 30, 30),
    ],
)
def test_a_candidate_that_is_no_box_is_no_face_and_hides_none(box: tuple[float, ...]) -> None:
    assert numbers(selected([box, GOOD])) == [1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_face_whose_landmarks_are_not_finite_is_dropped(value: float) -> None:
    landmarks = np.ones((2, 5, 2), dtype=np.float32) + APART
    landmarks[0, 3, 1] = value
    assert len(selected([(50, 50, 70, 70), GOOD], landmarks=landmarks)) == 1


def test_a_score_that_is_not_a_number_is_no_face_even_at_a_minimum_of_zero() -> None:
    assert numbers(selected([GOOD, (50, 50, 70, 70)], [0.9, np.nan], min_score=0.0)) == [0]


def test_an_infinite_score_is_no_face() -> None:
    assert numbers(selected([GOOD, (50, 50, 70, 70)], [np.inf, 0.9])) == [1]


def test_the_minimum_score_is_included_and_less_is_not() -> None:
    faces = selected([GOOD, (50, 50, 70, 70), (80, 80, 90, 90)], [0.75, 0.5, 0.49], min_score=0.5)
    assert faces.scores.tolist() == [0.75, 0.5]


def test_max_faces_keeps_the_best() -> None:
    boxes = [(20 * i, 0, 20 * i + 10, 10) for i in range(6)]
    faces = selected(boxes, [0.95, 0.9, 0.85, 0.8, 0.75, 0.7], max_faces=2)
    assert numbers(faces) == [0, 1]


def test_faces_are_in_the_pixels_of_the_image() -> None:
    faces = selected([GOOD], landmarks=np.full((1, 5, 2), 20.0) + APART, factor=0.25)
    assert faces.boxes.tolist() == [[40, 40, 120, 120]]
    assert np.unique(faces.landmarks).tolist() == [80, 88]


@pytest.mark.parametrize("boxes", [[], [GOOD]], ids=["no candidates", "none good enough"])
def test_no_face_has_the_right_shapes_and_types(boxes: list[object]) -> None:
    faces = selected(boxes, [0.1] * len(boxes), landmarks=np.zeros((len(boxes), 5, 2)))
    arrays: tuple[NDArray[np.float32], ...] = (faces.boxes, faces.scores, faces.landmarks)
    assert [array.shape for array in arrays] == [(0, 4), (0,), (0, 5, 2)]
    assert all(array.dtype == np.float32 for array in arrays)
    assert len(faces) == 0


def test_a_face_whose_landmarks_coincide_is_dropped_and_the_others_are_not() -> None:
    landmarks = np.stack([np.full((5, 2), 30.0), np.full((5, 2), 60.0) + APART])
    assert selected([(50, 50, 70, 70), GOOD], landmarks=landmarks).landmarks[0, 0].tolist() == [60, 60]


HEIGHT, WIDTH = 8, 10
place = st.integers(-6, 16)
scored_box = st.tuples(place, place, st.integers(1, 12), st.integers(1, 12), st.integers(1, 4))


def faces_of(rows: list[tuple[int, int, int, int, int]]) -> Faces:
    """Of x, y, width, height and score; the landmarks tell the row."""
    values = np.array(rows, dtype=np.float32).reshape(-1, 5)
    boxes = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:4]], axis=1)
    landmarks = np.arange(len(rows), dtype=np.float32)[:, None, None] + APART
    return Faces(boxes, values[:, 4], landmarks)


def area_inside(row: tuple[int, int, int, int, int]) -> int:
    """Pixels of the box that lie in the image, counted one by one."""
    x, y, width, height, _ = row
    return sum(0 <= i < WIDTH for i in range(x, x + width)) * sum(0 <= j < HEIGHT for j in range(y, y + height))


@settings(deadline=None)
@given(st.lists(scored_box, max_size=8), st.randoms())
def test_the_face_that_counts_has_the_best_score_or_the_largest_area_inside_the_image_in_any_order(rows, random):
    ranks = {
        SeveralFaces.BEST: lambda row: row[4],
        SeveralFaces.LARGEST: lambda row: (area_inside(row), row[4]),
    }
    shuffled = list(rows)
    random.shuffle(shuffled)
    for several_faces, rank in ranks.items():
        for order in (rows, shuffled):
            chosen = numbers(choose_face(faces_of(order), several_faces, HEIGHT, WIDTH))
            if not order:
                assert chosen == []
                continue
            (number,) = chosen
            best = max(map(rank, order))
            assert rank(order[number]) == best
            assert number == [rank(row) for row in order].index(best)  # of equals the detector's first


def test_an_area_outside_the_image_does_not_count() -> None:
    """Most of the first box is cut off by the image's edge."""
    faces = faces_of([(-90, 0, 92, 8, 3), (3, 0, 5, 5, 1)])
    assert numbers(choose_face(faces, SeveralFaces.LARGEST, HEIGHT, WIDTH)) == [1]
    assert numbers(choose_face(faces, SeveralFaces.BEST, HEIGHT, WIDTH)) == [0]
