"""Made scenes: what is drawn is what the truth says, and the nets see in it what they should."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path as FilePath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegate.cameras.frame import SourceError
from facegate.cameras.synthetic.cut_faces import Cutout, cut_head, cut_picture
from facegate.cameras.synthetic.scene import CROSSING_FRAMES, Actor, Path, Scene, Truth, Wave, overlap
from facegate.cameras.synthetic.source import MOST_FACES, Synthetic, scene_of
from facegate.local.local import Local
from facegate_client.imaging.image import decode
from facegate_client.requests import analysis
from facegate_client.results import Box, Face, Faces

SIZE = (200, 150)
RED, GREEN = (0, 0, 255), (0, 255, 0)  # BGR; the background is grey


def block(colour: tuple[int, int, int]) -> Cutout:
    """A face of one colour, with a wide rim of the same colour about it that is not its box."""
    return Cutout(np.full((90, 72, 3), colour, np.uint8), np.full((90, 72), 255, np.uint8), (16.0, 15.0, 56.0, 75.0))


def still(x: float, y: float, height: float) -> Path:
    return Path(Wave(x), Wave(y), Wave(height))


def coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture.astype(int) - colour).sum(axis=2) < 120


def drawn_share(scene: Scene, truth: Truth, colour: tuple[int, int, int]) -> float:
    """The share of the truth's box, counted in pixels, that shows `colour`."""
    x1, y1, x2, y2 = (round(value) for value in truth.box)
    inside = coloured(scene.render(0), colour)[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)]
    return float(inside.sum()) / ((x2 - x1) * (y2 - y1))


places = st.tuples(st.floats(-20, 220), st.floats(-20, 170), st.floats(24, 90))


@settings(max_examples=60, deadline=None)
@given(places)
def test_a_face_is_drawn_where_the_truth_says(place: tuple[float, float, float]) -> None:
    x, y, height = place
    rim = 15 / 60 * height  # of block, in pixels of the scene
    inside = 16 / 40 * height * 2 / 3 + height / 3 < x < SIZE[0] - height and rim + height / 2 < y < SIZE[1] - height
    scene = Scene(SIZE, 10, [Actor(block(RED), still(x, y, height))])
    for truth in scene.truth(0):
        assert truth.box == pytest.approx((x - height / 3, y - height / 2, x + height / 3, y + height / 2))
        assert drawn_share(scene, truth, RED) == pytest.approx(truth.visible, abs=0.12)
    if inside:
        rows, columns = np.nonzero(coloured(scene.render(0), RED))
        assert columns.mean() + 0.5 == pytest.approx(x, abs=0.5)
        assert rows.mean() + 0.5 == pytest.approx(y, abs=0.5)
        assert np.ptp(rows) + 1 == pytest.approx(height * 90 / 60, abs=4)


@settings(max_examples=60, deadline=None)
@given(places, places)
def test_what_is_visible_is_what_nothing_hides(
    behind: tuple[float, float, float], before: tuple[float, float, float]
) -> None:
    actors = [Actor(block(RED), still(*behind)), Actor(block(GREEN), still(*before))]
    scene = Scene(SIZE, 10, actors, pillars=[(90, 0, 120, 150)])
    for truth in scene.truth(0):
        assert drawn_share(scene, truth, (RED, GREEN)[truth.face]) == pytest.approx(truth.visible, abs=0.15)


def test_who_is_out_of_the_picture_is_not_in_the_truth_and_who_is_behind_a_pillar_is() -> None:
    actors = [Actor(block(RED), still(-100, 75, 60)), Actor(block(GREEN), still(100, 75, 60))]
    truths = Scene(SIZE, 10, actors, pillars=[(50, 0, 150, 150)]).truth(0)
    assert [(truth.face, truth.visible) for truth in truths] == [(1, 0.0)]


def test_a_crossing_begins_before_boxes_overlap_and_ends_after() -> None:
    passing = Path(Wave(100, 80, 20), Wave(75), Wave(60))
    scene = Scene(SIZE, 10, [Actor(block(RED), passing), Actor(block(GREEN), still(100, 75, 60))])
    apart = [overlap(*(truth.box for truth in scene.truth(index))) <= 0.2 for index in range(200)]
    told = [all(truth.crossing for truth in scene.truth(index)) for index in range(200)]
    near = [not all(apart[max(0, at - CROSSING_FRAMES) : at + CROSSING_FRAMES + 1]) for at in range(195)]
    assert told[:195] == near
    assert not all(told) and any(told) and told != [not each for each in apart]


def test_the_same_arguments_give_the_same_pixels() -> None:
    def make(seed: int) -> Scene:
        return Scene(SIZE, 10, [Actor(block(RED), Path(Wave(100, 50, 3), Wave(75), Wave(40), Wave(2)))], seed=seed)

    first = make(1)
    pixels = first.render(7)
    assert pixels.dtype == np.uint8 and pixels.shape == (150, 200, 3) and pixels.flags.c_contiguous
    kept = pixels.copy()
    pixels[:] = 0  # the caller's own
    assert np.array_equal(first.render(7), kept)
    assert np.array_equal(make(1).render(7), kept)
    assert not np.array_equal(make(2).render(7), kept)
    assert not np.array_equal(first.render(9), kept)


def test_blur_blurs() -> None:
    random = np.random.default_rng(0)
    grain = Cutout(random.integers(0, 255, (60, 60, 3), np.uint8), np.full((60, 60), 255, np.uint8), (10, 10, 50, 50))
    shaken = []
    for sigma in (0.0, 1.0, 3.0):
        scene = Scene(SIZE, 10, [Actor(grain, Path(Wave(100), Wave(75), Wave(40), Wave(sigma)))])
        assert scene.truth(0)[0].blur == sigma
        shaken.append(float(scene.render(0)[60:90, 85:115].std()))
    assert shaken[0] > 2 * shaken[1] > 4 * shaken[2]


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": (0, 10)},
        {"size": (40_000, 10)},
        {"size": (30_000, 30_000)},
        {"fps": 0.0},
        {"fps": float("nan")},
        {"pillars": [(-1, 0, 10, 10)]},
        {"pillars": [(10, 0, 10, 10)]},
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"size|fps|pillars"):
        Scene(**{"size": SIZE, "fps": 10.0, "actors": []} | arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("box", [(300, 0, 400, 50), (10, 10, 10, 20), (0, 0, float("nan"), 9), (0, 0, float("inf"), 9)])
@pytest.mark.parametrize("cut", [cut_head, lambda picture, box: cut_picture(picture, box, spoof=True)])
def test_a_box_without_a_face_is_refused(cut: Callable[[np.ndarray, Box], Cutout], box: Box) -> None:
    with pytest.raises(ValueError, match="box"):
        cut(np.zeros((100, 100, 3), np.uint8), box)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.floats(0, 90), st.floats(0, 70), st.floats(2, 60), st.floats(2, 60)), st.booleans())
def test_a_cutout_has_the_pictures_own_pixels_at_its_face(place: tuple[float, ...], head: bool) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (80, 100, 3), np.uint8)
    x, y, width, height = place
    box = (x, y, x + width, y + height)
    cutout = cut_head(picture, box) if head else cut_picture(picture, box, spoof=True)
    assert cutout.face_size == pytest.approx((width, height))
    left, top = round(box[0] - cutout.box[0]), round(box[1] - cutout.box[1])
    high, wide = cutout.pixels.shape[:2]
    assert np.array_equal(cutout.pixels, picture[top : top + high, left : left + wide])
    assert cutout.mask.shape == (high, wide)
    middle = int((cutout.box[1] + cutout.box[3]) / 2), int((cutout.box[0] + cutout.box[2]) / 2)
    if middle[0] < high and middle[1] < wide:
        assert cutout.mask[middle] == 255


def test_a_head_loses_its_surroundings_and_a_picture_keeps_them() -> None:
    picture, box = np.zeros((200, 200, 3), np.uint8), (80.0, 80.0, 120.0, 130.0)
    head, whole = cut_head(picture, box), cut_picture(picture, box, spoof=True)
    assert not head.mask[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert head.mask.mean() < 255 * 0.8
    assert whole.mask.all() and whole.pixels.shape[0] >= 200 - 5


def test_a_film_gives_each_frame_once_and_ends() -> None:
    scene = Scene(SIZE, 5, [Actor(block(RED), Path(Wave(100, 50, 3), Wave(75), Wave(40)))])
    frames = list(Synthetic(scene, frames=4).frames())
    assert [(frame.index, frame.media_s) for frame in frames] == [(0, 0.0), (1, 0.2), (2, 0.4), (3, 0.6)]
    assert all(np.array_equal(frame.pixels, scene.render(frame.index)) for frame in frames)


def test_a_camera_does_not_wait_for_who_reads_it() -> None:
    source = Synthetic(Scene(SIZE, 50, []), live=True, frames=1000)
    frames = source.frames()
    assert next(frames).index == 0
    time.sleep(0.2)
    late = next(frames)
    assert late.index >= 10 and late.media_s == late.index / 50
    source.close()
    assert list(frames) == []


def test_a_camera_ends_where_it_was_told_to_however_late_it_is_read() -> None:
    frames = Synthetic(Scene(SIZE, 100, []), live=True, frames=3).frames()
    next(frames)
    time.sleep(0.1)
    assert list(frames) == []


def test_closing_ends_a_wait_for_the_next_frame() -> None:
    source = Synthetic(Scene(SIZE, 0.001, []), live=True)
    frames = source.frames()
    next(frames)
    reader = threading.Thread(target=list, args=(frames,), daemon=True)
    reader.start()
    source.close()
    source.close()
    reader.join(30)
    assert not reader.is_alive()


def test_pictures_without_a_face_make_no_scene() -> None:
    with pytest.raises(SourceError, match="no face in 1 pictures"):
        scene_of([(np.zeros((50, 50, 3), np.uint8), [])])


def test_a_scene_shows_no_more_faces_than_it_says() -> None:
    face = Face((10.0, 10.0, 40.0, 50.0), 0.9, ((20.0, 20.0),) * 5)
    scene = scene_of([(np.zeros((60, 60, 3), np.uint8), [face])] * 20, seed=1)
    seen = {truth.face for index in range(0, 300, 5) for truth in scene.truth(index)}
    assert seen == set(range(MOST_FACES))


class Nets:
    """The server's own nets, in this process."""

    def __init__(self, repository: FilePath) -> None:
        self._local = Local(repository)
        self.close = self._local.close

    def __call__(self, pixels: np.ndarray) -> Faces:
        request = analysis(pixels, anti_spoofing=True, embeddings=False, min_score=None, max_faces=None, faces=None)
        return request.read(self._local.start(request.call, 30).result())


@pytest.fixture(scope="module")
def nets(repository: FilePath) -> Iterator[Nets]:
    nets = Nets(repository)
    yield nets
    nets.close()


def with_faces(nets: Nets, paths: Sequence[FilePath]) -> list[tuple[np.ndarray, Faces]]:
    pixels = [decode(path.read_bytes()) for path in paths]
    return [(each, nets(each)) for each in pixels]


def test_the_detector_finds_the_faces_where_the_truth_says(nets: Nets, pictures: FilePath) -> None:
    people = with_faces(nets, [pictures / "verification" / f"img{number}.jpg" for number in (1, 3, 8, 24)])
    scene = scene_of(people, seed=3)
    found = expected = 0
    for index in range(0, 400, 10):
        boxes = [face.box for face in nets(scene.render(index))]
        plain = [truth for truth in scene.truth(index) if truth.visible > 0.95]
        expected += len(plain)
        found += sum(any(overlap(truth.box, box) > 0.8 for box in boxes) for truth in plain)
    assert expected > 40
    assert found >= 0.95 * expected


@pytest.mark.parametrize(("name", "spoof"), [("image_T1.jpg", False), ("image_F1.jpg", True), ("image_F2.jpg", True)])
def test_a_picture_held_up_is_judged_as_the_picture_is(nets: Nets, pictures: FilePath, name: str, spoof: bool) -> None:
    ((pixels, faces),) = with_faces(nets, [pictures / "liveness" / name])
    path = Path(Wave(320, 25, 7), Wave(250), Wave(260, 35, 11))
    scene = Scene((640, 480), 10, [Actor(cut_picture(pixels, faces[0].box, spoof=spoof), path)])
    for index in range(0, 100, 20):
        assert [truth.spoof for truth in scene.truth(index)] == [spoof]
        assert nets(scene.render(index))[0].is_real is not spoof
