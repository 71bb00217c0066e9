"""The way of an image, with nets that answer by rule: what is run, on how much, in which order, and what comes back."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facegate_client.contract import Code, SeveralFaces
from facegate_ensemble.errors import RequestError
from facegate_ensemble.pack import Pack
from facegate_ensemble.pipeline.detection import Faces
from facegate_ensemble.pipeline.pipeline import Analysis, Pipeline
from facegate_ensemble.pipeline.verification import Verdict
from facegate_ensemble.runtime.runner import Arrays, NetUnavailable
from facegate_ensemble.runtime.worker_pool import Lanes

CANDIDATES = 8
SPOT = 50  # pixels: the side of a face in crowd()


@dataclass
class RuleInferer:
    """Answers by rule and notes what it was asked. Brightness b in a picture's corner means b faces, the first of
    them the best; a face's embedding tells its crop's brightness; each net gives every face its own `p_real`."""

    p_real: tuple[float, float] = (0.9, 0.9)
    missing: tuple[str, ...] = ()
    second_look: int = 0  # the faces that the second look finds
    short: str = ""  # the net that answers one row too few
    asked: list[tuple[str, int]] = field(default_factory=list)
    shown: dict[str, NDArray[np.uint8]] = field(default_factory=dict)  # each net's last batch
    lanes: Lanes = field(default_factory=lambda: Lanes(4, "lane"))
    spreads: bool = True

    def serves(self, net: str) -> bool:
        return net not in self.missing

    def chunk(self, net: str, rows: int) -> int:
        return 32

    def infer(self, net: str, batch: NDArray[np.uint8]) -> Arrays:
        if not self.serves(net):
            raise NetUnavailable(net)
        self.asked.append((net, len(batch)))
        self.shown[net] = batch
        time.sleep(0.001 if len(batch) > 6 else 0)  # the smaller chunk is ready first
        outputs = self._answer(net, batch)
        return {name: values[: -1 if net == self.short else None] for name, values in outputs.items()}

    def _answer(self, net: str, batch: NDArray[np.uint8]) -> Arrays:
        if net.startswith("face_detector"):
            faces = batch[:, :1, 0, 0] if net == "face_detector" else np.full((len(batch), 1), self.second_look)
            there = np.arange(CANDIDATES) < faces
            left = np.arange(CANDIDATES, dtype=np.float32) * 8
            boxes = np.stack([left, left * 0, left + 6, left * 0 + 6], axis=1)
            landmarks = left[:, None, None] + np.array([[1, 1], [5, 1], [3, 3], [1, 5], [5, 5]])
            scores = np.where(there, 0.9 - np.arange(CANDIDATES) / 100, 0.1)
            wide = [np.broadcast_to(values, (len(batch), *values.shape)) for values in (boxes, landmarks)]
            return {"BOXES": wide[0], "SCORES": scores.astype(np.float32), "LANDMARKS": wide[1].astype(np.float32)}
        centre = batch[:, batch.shape[1] // 2, batch.shape[2] // 2, 0].astype(np.float32)
        if net == "face_recognizer":
            return {"EMBEDDINGS": np.stack([np.cos(centre / 100), np.sin(centre / 100)], axis=1)}
        real = np.full_like(centre, self.p_real[net == "minifasnet_v1se"])
        return {"PROBABILITIES": np.stack([1 - real, real, real * 0], axis=1)}

    def runs(self) -> Counter[str]:
        return Counter(net for net, _ in self.asked)


@pytest.fixture
def small(pack: Pack) -> Pack:
    """The default pack with a detector of 64 x 64 pixels that looks once, and embeddings of two values."""
    sizes = {"height": 64, "width": 64, "candidates": CANDIDATES, "second_look": None}
    detector = pack.detector.model_copy(update=sizes)
    recognizer = pack.recognizer.model_copy(update={"dimension": 2})
    return pack.model_copy(update={"detector": detector, "recognizer": recognizer})


@pytest.fixture
def twice(small: Pack) -> Pack:
    """The same with a second look at 32 x 32 pixels."""
    return small.model_copy(update={"detector": small.detector.model_copy(update={"second_look": (32, 32)})})


def photo(faces: int) -> NDArray[np.uint8]:
    return np.full((64, 64, 3), faces, dtype=np.uint8)


def crowd(pack: Pack, count: int) -> tuple[NDArray[np.uint8], Faces]:
    """A picture of faces side by side, the first of brightness 1, the second of 2, and so on."""
    image = np.repeat(np.arange(1, count + 1, dtype=np.uint8), SPOT)[None, :, None] + np.zeros((SPOT, 1, 3), np.uint8)
    left = np.arange(count, dtype=np.float32) * SPOT
    boxes = np.stack([left + 10, left * 0 + 10, left + 40, left * 0 + 40], axis=1)
    points = np.array(pack.recognizer.template, dtype=np.float32) * np.float32(SPOT / 112)
    landmarks = points + np.stack([left, left * 0], axis=1)[:, None]
    return image, Faces(boxes, np.ones(count, dtype=np.float32), landmarks)


def analyze(pack: Pack, inferer: RuleInferer, image: NDArray[np.uint8], **asked: Any) -> Analysis:
    options = {"anti_spoofing": False, "embeddings": True} | asked
    return Pipeline(pack, inferer).analyze(image, **options)


def verify(
    pack: Pack, inferer: RuleInferer, *faces: int, anti_spoofing: bool = False, **options: Any
) -> tuple[Verdict, NDArray[np.float32], list[int]]:
    images = [photo(count) for count in faces]
    return Pipeline(pack, inferer).verify(images, threshold=None, anti_spoofing=anti_spoofing, **options)


def test_every_face_of_an_image_is_described_by_one_detection(small: Pack) -> None:
    inferer = RuleInferer()
    analysis = analyze(small, inferer, photo(3), anti_spoofing=True)
    assert inferer.runs() == {"face_detector": 1, "face_recognizer": 1, "minifasnet_v2": 1, "minifasnet_v1se": 1}
    assert len(analysis.faces) == 3
    assert analysis.embeddings is not None
    assert analysis.embeddings.shape == (3, 2)
    assert analysis.liveness is not None
    assert analysis.liveness.is_real.tolist() == [True] * 3


def test_a_picture_with_a_face_is_looked_at_once(twice: Pack, small: Pack) -> None:
    inferer = RuleInferer(second_look=3)
    found = analyze(twice, inferer, photo(2)).faces
    assert "face_detector_32x32" not in inferer.runs()
    assert np.array_equal(found.boxes, analyze(small, inferer, photo(2)).faces.boxes)


def test_a_picture_without_a_face_is_looked_at_again_and_boxes_are_in_its_own_pixels(twice: Pack) -> None:
    """The same face, 6 pixels wide, is 6 / 64 of a picture at the first look and 6 / 32 at the second."""
    for height, width in ((64, 64), (128, 128), (48, 96), (500, 333), (10, 7)):
        faces = [
            analyze(twice, RuleInferer(second_look=1), np.full((height, width, 3), value, np.uint8)).faces
            for value in (1, 0)
        ]
        assert [len(each) for each in faces] == [1, 1]
        assert np.allclose(faces[0].boxes * 2, faces[1].boxes), (height, width)
        assert np.allclose(faces[0].landmarks * 2, faces[1].landmarks)


def test_the_lowest_score_and_the_most_faces_are_those_of_both_looks(twice: Pack) -> None:
    assert len(analyze(twice, RuleInferer(second_look=5), photo(0), max_faces=2).faces) == 2
    assert len(analyze(twice, RuleInferer(second_look=5), photo(0), min_score=0.88).faces) == 3
    inferer = RuleInferer(second_look=5)
    assert len(analyze(twice, inferer, photo(3), min_score=0.95).faces) == 0
    assert inferer.runs() == {"face_detector": 1, "face_detector_32x32": 1}


@pytest.mark.parametrize(("faces", "again"), [((1, 2), []), ((0, 2), [1]), ((0, 0), [2])])
def test_the_pictures_of_a_verification_that_have_no_face_share_a_second_look(
    twice: Pack, faces: tuple[int, int], again: list[int]
) -> None:
    inferer = RuleInferer(second_look=1)
    _, boxes, counts = verify(twice, inferer, *faces)
    assert [rows for net, rows in inferer.asked if net == "face_detector_32x32"] == again
    assert counts == [count or 1 for count in faces]
    widths = (boxes[:, 2] - boxes[:, 0]).tolist()
    assert widths == pytest.approx([6.0 if count else 12.0 for count in faces])


def test_given_faces_are_not_looked_for(twice: Pack) -> None:
    inferer = RuleInferer(second_look=1)
    _, faces = crowd(twice, 1)
    analyze(twice, inferer, photo(0), faces=faces)
    assert not any(net.startswith("face_detector") for net in inferer.runs())


def test_a_picture_without_a_face_is_an_error_where_the_second_look_is_not_served(twice: Pack) -> None:
    inferer = RuleInferer(missing=("face_detector_32x32",))
    assert len(analyze(twice, inferer, photo(2)).faces) == 2
    for ask in (lambda: analyze(twice, inferer, photo(0)), lambda: verify(twice, inferer, 1, 0)):
        with pytest.raises(NetUnavailable, match="face_detector_32x32"):
            ask()


def test_more_than_one_face_of_the_second_look_is_refused_and_counted_like_those_of_the_first(twice: Pack) -> None:
    inferer = RuleInferer(second_look=3)
    assert analyze(twice, inferer, photo(0), several_faces=SeveralFaces.BEST).face_count == 3
    for ask in (
        lambda: analyze(twice, inferer, photo(0), several_faces=SeveralFaces.REFUSE),
        lambda: verify(twice, inferer, 1, 0, several_faces=SeveralFaces.REFUSE),
    ):
        with pytest.raises(RequestError) as refusal:
            ask()
        assert refusal.value.code is Code.INVALID_ARGUMENT


def test_a_second_look_that_answers_too_few_rows_is_an_error(twice: Pack) -> None:
    inferer = RuleInferer(short="face_detector_32x32", second_look=1)
    with pytest.raises(RuntimeError, match="face_detector_32x32"):
        analyze(twice, inferer, photo(0))


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_many_faces_go_in_chunks_and_keep_their_order(small: Pack, lanes: int) -> None:
    inferer = RuleInferer(lanes=Lanes(lanes, "lane"))
    image, faces = crowd(small, 70)
    analysis = analyze(small, inferer, image, faces=faces, anti_spoofing=True)
    for net in ("face_recognizer", "minifasnet_v2", "minifasnet_v1se"):
        assert sorted(rows for name, rows in inferer.asked if name == net) == [6, 32, 32]
    assert analysis.embeddings is not None
    order = np.arctan2(analysis.embeddings[:, 1], analysis.embeddings[:, 0]) * 100
    np.testing.assert_allclose(order, np.arange(1, 71), atol=0.01)


def test_given_faces_run_no_detector_and_come_back_as_given(small: Pack) -> None:
    inferer = RuleInferer()
    image, faces = crowd(small, 2)
    analysis = analyze(small, inferer, image, faces=faces)
    assert inferer.runs() == {"face_recognizer": 1}
    assert analysis.faces is faces


@pytest.mark.parametrize(
    ("embeddings", "anti_spoofing", "nets"),
    [
        (False, False, set()),
        (True, False, {"face_recognizer"}),
        (False, True, {"minifasnet_v2", "minifasnet_v1se"}),
    ],
)
def test_what_was_not_asked_for_is_neither_run_nor_answered(
    small: Pack, embeddings: bool, anti_spoofing: bool, nets: set[str]
) -> None:
    inferer = RuleInferer()
    analysis = analyze(small, inferer, photo(2), embeddings=embeddings, anti_spoofing=anti_spoofing)
    assert set(inferer.runs()) == {"face_detector"} | nets
    assert (analysis.embeddings is not None) == embeddings
    assert (analysis.liveness is not None) == anti_spoofing


def test_an_image_without_a_face_has_none_of_the_right_types_and_ranks(small: Pack) -> None:
    inferer = RuleInferer()
    analysis = analyze(small, inferer, photo(0), anti_spoofing=True)
    assert set(inferer.runs()) == {"face_detector"}
    assert analysis.embeddings is not None
    assert analysis.liveness is not None
    faces = analysis.faces
    found = [faces.boxes, faces.scores, faces.landmarks, analysis.embeddings, analysis.liveness.p_real]
    assert [array.shape for array in found] == [(0, 4), (0,), (0, 5, 2), (0, 2), (0,)]
    assert {array.dtype for array in found} == {np.dtype(np.float32)}
    assert (analysis.liveness.is_real.shape, analysis.liveness.is_real.dtype) == ((0,), np.bool_)


def test_the_callers_minimum_score_and_number_of_faces_hold(small: Pack) -> None:
    assert len(analyze(small, RuleInferer(), photo(3), min_score=0.885, embeddings=False).faces) == 2
    assert len(analyze(small, RuleInferer(), photo(3), min_score=0.05, embeddings=False).faces) == CANDIDATES
    assert len(analyze(small, RuleInferer(), photo(3), max_faces=1, embeddings=False).faces) == 1


def test_each_liveness_net_is_shown_as_much_around_the_face_as_it_was_trained_on(small: Pack) -> None:
    inferer = RuleInferer()
    image = np.zeros((500, 500, 3), dtype=np.uint8)
    image[200:300, 200:300] = 255
    _, faces = crowd(small, 1)
    face = Faces(np.array([[200, 200, 300, 300]], dtype=np.float32), faces.scores, faces.landmarks)
    analyze(small, inferer, image, faces=face, anti_spoofing=True)
    for net, scale in (("minifasnet_v2", 2.7), ("minifasnet_v1se", 4.0)):
        assert np.mean(inferer.shown[net] / 255) == pytest.approx(scale**-2, rel=0.03)


def test_boxes_are_in_the_pixels_of_a_larger_image(small: Pack) -> None:
    analysis = analyze(small, RuleInferer(), np.full((256, 256, 3), 2, dtype=np.uint8), embeddings=False)
    assert analysis.faces.boxes.tolist() == [[0, 0, 24, 24], [32, 0, 56, 24]]


@pytest.mark.parametrize("faces", [0, 2])
@pytest.mark.parametrize("missing", [("minifasnet_v2",), ("minifasnet_v1se",), ("minifasnet_v2", "minifasnet_v1se")])
def test_a_liveness_check_that_cannot_run_is_an_error_before_any_net_runs(
    small: Pack, faces: int, missing: tuple[str, ...]
) -> None:
    inferer = RuleInferer(missing=missing)
    for ask in (
        lambda: analyze(small, inferer, photo(faces), anti_spoofing=True),
        lambda: verify(small, inferer, faces, faces, anti_spoofing=True),
    ):
        with pytest.raises(RequestError) as refusal:
            ask()
        assert refusal.value.code is Code.FAILED_PRECONDITION
        assert " and ".join(missing) in str(refusal.value)
        assert "facegate serve without --without-liveness" in str(refusal.value)
    assert not inferer.asked


def test_without_liveness_nets_everything_else_still_works(small: Pack) -> None:
    inferer = RuleInferer(missing=("minifasnet_v2", "minifasnet_v1se"))
    assert len(analyze(small, inferer, photo(2)).faces) == 2
    assert verify(small, inferer, 1, 1)[0].verified


def test_a_verification_detects_in_both_images_at_once_and_takes_the_best_face_of_each(small: Pack) -> None:
    inferer = RuleInferer()
    verdict, boxes, face_counts = verify(small, inferer, 1, 3, anti_spoofing=True)
    assert Counter(inferer.asked) == {
        ("face_detector", 2): 1,
        ("face_recognizer", 2): 1,
        ("minifasnet_v2", 2): 1,
        ("minifasnet_v1se", 2): 1,
    }
    assert verdict.verified
    assert boxes.tolist() == [[0, 0, 6, 6]] * 2
    assert face_counts == [1, 3]


@pytest.mark.parametrize(("p_real", "verified"), [((0.9, 0.3), True), ((0.9, 0.05), False), ((0.0, 0.0), False)])
def test_a_spoof_by_the_mean_of_both_nets_vetoes_a_perfect_match(
    small: Pack, p_real: tuple[float, float], verified: bool
) -> None:
    verdict, *_ = verify(small, RuleInferer(p_real), 1, 1, anti_spoofing=True)
    assert verdict.distance == pytest.approx(0, abs=1e-6)
    assert verdict.verified == verified
    assert verify(small, RuleInferer(p_real), 1, 1)[0].verified  # nobody asked


def test_the_packs_threshold_holds_unless_another_is_given(small: Pack) -> None:
    pipeline = Pipeline(small, RuleInferer())
    images = [photo(1), photo(8)]
    ours, *_ = pipeline.verify(images, threshold=None, anti_spoofing=False)
    given, *_ = pipeline.verify(images, threshold=1e-4, anti_spoofing=False)
    assert (ours.threshold, ours.verified) == (small.recognizer.threshold, True)
    assert (given.threshold, given.verified) == (1e-4, False)


@pytest.mark.parametrize(
    ("faces", "where"), [((0, 1), "image 1"), ((1, 0), "image 2"), ((0, 0), "image 1 and image 2")]
)
def test_a_verification_without_a_face_says_in_which_image(small: Pack, faces: tuple[int, int], where: str) -> None:
    inferer = RuleInferer()
    with pytest.raises(RequestError) as refusal:
        verify(small, inferer, *faces, anti_spoofing=True)
    assert str(refusal.value) == f"NOT_FOUND: no face in {where}"
    assert refusal.value.code is Code.NOT_FOUND
    assert set(inferer.runs()) == {"face_detector"}


@pytest.mark.parametrize(("faces", "name", "count"), [((1, 3), "b", 3), ((2, 1), "a", 2), ((2, 3), "a", 2)])
def test_several_faces_are_refused_with_the_image_and_their_number_before_any_is_described(
    small: Pack, faces: tuple[int, int], name: str, count: int
) -> None:
    inferer = RuleInferer()
    with pytest.raises(
        RequestError, match=rf"^INVALID_ARGUMENT: {name}: .*\b{count}\b.*several_faces=largest"
    ) as refusal:
        verify(small, inferer, *faces, several_faces=SeveralFaces.REFUSE, names=("a", "b"))
    assert refusal.value.code is Code.INVALID_ARGUMENT
    assert set(inferer.runs()) == {"face_detector"}
    assert verify(small, inferer, 1, 1, several_faces=SeveralFaces.REFUSE)[0].verified


@pytest.mark.parametrize("several_faces", SeveralFaces)
@pytest.mark.parametrize("faces", [0, 1, 3])
def test_with_several_faces_all_are_counted_and_at_most_one_is_described(
    small: Pack, several_faces: SeveralFaces, faces: int
) -> None:
    inferer = RuleInferer()
    asked = {"anti_spoofing": True, "max_faces": 2, "several_faces": several_faces}
    if several_faces is SeveralFaces.REFUSE and faces > 1:
        with pytest.raises(RequestError, match=r"^INVALID_ARGUMENT: image: "):
            analyze(small, inferer, photo(faces), **asked)
        return
    analysis = analyze(small, inferer, photo(faces), **asked)
    assert analysis.face_count == faces
    assert analysis.embeddings is not None and analysis.liveness is not None
    assert len(analysis.faces) == len(analysis.embeddings) == len(analysis.liveness.is_real) == min(faces, 1)
    assert inferer.runs()["face_detector"] == 1
    assert analyze(small, inferer, photo(faces)).face_count is None


@pytest.mark.parametrize("net", ["face_detector", "face_recognizer", "minifasnet_v2", "minifasnet_v1se"])
def test_a_net_that_answers_too_few_rows_is_an_error_and_never_a_verdict(small: Pack, net: str) -> None:
    with pytest.raises(RuntimeError, match=f"{net} answered 1 rows of "):
        verify(small, RuleInferer(short=net), 1, 1, anti_spoofing=True)


class Forgetful(Lanes):
    """Lanes that lose every part of a request."""

    def together(self, works: Any) -> Any:
        return []


@pytest.mark.parametrize("embeddings", [True, False])
def test_a_check_that_was_asked_for_and_got_lost_is_an_error_and_not_silence(small: Pack, embeddings: bool) -> None:
    image, faces = crowd(small, 1)
    inferer = RuleInferer(lanes=Forgetful(1, "lane"), spreads=False)
    with pytest.raises(IndexError):
        analyze(small, inferer, image, faces=faces, embeddings=embeddings, anti_spoofing=True)
