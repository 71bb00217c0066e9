"""The precision gate on real nets and pictures: it passes what answers alike, and catches whatever does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facegate.build.checks.gate import Gate, judge
from facegate.build.checks.pictures import Pictures, close_up, fed
from facegate.errors import EngineError
from facegate.packs.pack_file import PackFile
from facegate_client import contract
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.runtime.runner import Arrays

Change = Callable[[Arrays], Arrays]


class Changed:
    """An inferer one of whose nets answers something else."""

    def __init__(self, inner: OnnxInferer, model: str, change: Change) -> None:
        self.lanes, self.spreads = inner.lanes, inner.spreads
        self._inner, self._model, self._change = inner, model, change

    def serves(self, net: str) -> bool:
        return self._inner.serves(net)

    def chunk(self, net: str, rows: int) -> int:
        return self._inner.chunk(net, rows)

    def infer(self, net: str, batch: NDArray[np.uint8]) -> Arrays:
        answer = self._inner.infer(net, batch)
        return self._change(answer) if net == self._model else answer


@pytest.fixture(scope="module")
def inferer(repository: Path, pack: PackFile) -> OnnxInferer:
    return OnnxInferer(repository, pack.nets)


@pytest.fixture(scope="module")
def some(samples: dict[str, Path]) -> Pictures:
    return Pictures(tuple(samples.values()))


@pytest.fixture
def judged(pack: PackFile, inferer: OnnxInferer, some: Pictures) -> Callable[..., Gate]:
    def against(model: str, change: Change) -> Gate:
        return judge(pack, inferer, Changed(inferer, model, change), some)

    return against


def replaced(name: str, values: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Change:
    return lambda answer: {**answer, name: values(answer[name].astype(np.float32))}


def test_nets_that_answer_alike_pass(judged: Callable[..., Gate]) -> None:
    gate = judged("face_detector", lambda answer: answer)
    assert gate
    assert (gate.pictures, gate.pairs) == (3, 3)
    assert gate.faces == 3
    assert [figure.worst for figure in gate.figures] == pytest.approx([0.0] * 5, abs=1e-6)
    assert not gate.failed


def test_boxes_that_move_are_measured_in_the_detectors_pixels(judged: Callable[..., Gate]) -> None:
    near = judged("face_detector", replaced(contract.BOXES, lambda boxes: boxes + 0.5))
    assert near
    assert near.worst("face_detector").worst == pytest.approx(0.5, abs=0.01)
    far = judged("face_detector", replaced(contract.BOXES, lambda boxes: boxes + 1.5))
    assert not far
    assert far.failed == {"face_detector"}
    assert str(far.worst("face_detector")) == "face_detector: pixels differs by 1.5, allowed 1"


def test_landmarks_that_move_are_seen_though_boxes_stay(judged: Callable[..., Gate]) -> None:
    gate = judged("face_detector", replaced(contract.LANDMARKS, lambda points: points + 1.5))
    assert "face_detector" in gate.failed


@pytest.mark.parametrize(("apart", "passes"), [(0.0005, True), (0.01, False)])
def test_the_other_of_two_candidates_may_win_where_they_are_as_good_and_only_there(
    pack: PackFile, inferer: OnnxInferer, some: Pictures, apart: float, passes: bool
) -> None:
    """Two candidates of one face, five pixels apart; the other one is best in what is judged."""

    def two(first: float, second: float) -> Change:
        def answer(raw: Arrays) -> Arrays:
            boxes, scores, points = (raw[name].astype(np.float32) for name in ("BOXES", "SCORES", "LANDMARKS"))
            face, marks = boxes[:, 0].copy(), points[:, 0].copy()
            order = [0, 1] if first > second else [1, 0]
            scores[:] = 0.0
            for place, which in enumerate(order):
                boxes[:, place], points[:, place] = face + 5 * which, marks + 5 * which
                scores[:, place] = (first, second)[which]
            return {"BOXES": boxes, "SCORES": scores, "LANDMARKS": points}

        return answer

    expected = Changed(inferer, "face_detector", two(0.9, 0.9 - apart))
    found = Changed(inferer, "face_detector", two(0.9 - apart, 0.9))
    figure = judge(pack, expected, found, some).worst("face_detector")
    assert bool(figure) is passes
    assert figure.worst == pytest.approx(0 if passes else 5, abs=0.01)


def test_a_face_that_is_lost_or_new_is_a_flip_of_the_detectors(judged: Callable[..., Gate]) -> None:
    gate = judged("face_detector", replaced(contract.SCORES, lambda scores: scores * 0.5))
    assert not gate
    assert gate.failed == {"face_detector"}
    assert len(gate.flips) == 3
    assert "of 1 faces 1 not found, and 0 others" in str(gate.flips[0])


def test_the_second_look_is_judged_on_faces_that_fill_the_picture(judged: Callable[..., Gate]) -> None:
    near = judged("face_detector_256x256", replaced(contract.BOXES, lambda boxes: boxes + 0.5))
    assert near
    assert near.worst("face_detector_256x256").worst == pytest.approx(0.5, abs=0.01)
    assert near.worst("face_detector").worst == pytest.approx(0, abs=1e-6)
    assert judged("face_detector_256x256", replaced(contract.BOXES, lambda boxes: boxes + 1.5)).failed == {
        "face_detector_256x256"
    }
    lost = judged("face_detector_256x256", replaced(contract.SCORES, lambda scores: scores * 0.5))
    assert lost.failed == {"face_detector_256x256"}
    assert len(lost.flips) == 3


def test_of_a_picture_that_needs_the_second_look_that_is_blamed(
    pack: PackFile, inferer: OnnxInferer, samples: dict[str, Path], tmp_path: Path
) -> None:
    photo = cv2.imread(str(samples["image_F1.jpg"]))
    faces = Pipeline(pack, inferer).analyze(photo, anti_spoofing=False, embeddings=False).faces
    cv2.imwrite(str(tmp_path / "filling.png"), close_up(photo, faces.boxes[0], 1.5))
    pictures = Pictures.under(tmp_path)
    assert judge(pack, inferer, inferer, pictures).faces == 1
    blind = Changed(inferer, "face_detector_256x256", replaced(contract.SCORES, lambda scores: scores * 0))
    gate = judge(pack, inferer, blind, pictures)
    assert gate.failed == {"face_detector_256x256"}
    assert any(flip.what.startswith("filling.png: of 1 faces 1 not found") for flip in gate.flips)


def test_embeddings_may_turn_by_what_the_precision_allows(judged: Callable[..., Gate]) -> None:
    def turned(cosine: float) -> Change:
        def turn(rows: NDArray[np.float32]) -> NDArray[np.float32]:
            across = np.roll(rows, 1, axis=1)
            across -= (across * rows).sum(axis=1, keepdims=True) * rows
            across /= np.linalg.norm(across, axis=1, keepdims=True)
            return (cosine * rows + np.sqrt(1 - cosine**2) * across).astype(np.float32)

        return replaced(contract.EMBEDDINGS, turn)

    assert judged("face_recognizer", turned(0.9995))
    assert "face_recognizer" in judged("face_recognizer", turned(0.995)).failed


def test_a_liveness_net_that_leans_is_named_though_no_verdict_flips(judged: Callable[..., Gate]) -> None:
    def lean(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return 0.96 * rows + 0.04 / 3

    gate = judged("minifasnet_v2", replaced(contract.PROBABILITIES, lean))
    assert not gate.flips
    assert gate.failed == {"minifasnet_v2"}


def test_a_verdict_that_flips_is_said_with_the_picture_and_both_nets(judged: Callable[..., Gate]) -> None:
    gate = judged("minifasnet_v2", replaced(contract.PROBABILITIES, lambda rows: np.roll(rows, 1, axis=1)))
    same_crops, end = (flip for flip in gate.flips if "image_T1.jpg" in flip.what)
    assert same_crops.models == end.models == ("minifasnet_v2", "minifasnet_v1se")
    assert "face 1: another verdict on the same crops" in same_crops.what
    assert re.search(r"face 1: P\(real\) 0\.99\d became 0\.[45]", end.what)


def test_a_verification_that_flips_is_said_with_both_pictures(
    pack: PackFile, inferer: OnnxInferer, some: Pictures
) -> None:
    """image_F1 and image_F2 are spoofs of different people, whose distance the pack's threshold cannot be under."""
    distances = []
    gate = judge(pack, inferer, inferer, some)
    assert not gate.flips

    def same(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        distances.append(len(rows))
        return np.broadcast_to(np.eye(1, rows.shape[1], dtype=np.float32), rows.shape).copy()

    flipped = judge(pack, inferer, Changed(inferer, "face_recognizer", replaced("EMBEDDINGS", same)), some)
    said = [flip.what for flip in flipped.flips]
    assert said
    assert all(" and " in each and "became 0.0000" in each for each in said)
    assert {flip.models for flip in flipped.flips} == {("face_recognizer",)}


def test_what_is_not_a_number_does_not_pass(judged: Callable[..., Gate]) -> None:
    def spoiled(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full_like(rows, np.nan)

    assert not judged("face_detector", replaced(contract.BOXES, spoiled))
    with pytest.raises(RuntimeError, match="not finite"):
        judged("face_recognizer", replaced(contract.EMBEDDINGS, spoiled))
    with pytest.raises(RuntimeError, match="not probabilities"):
        judged("minifasnet_v2", replaced(contract.PROBABILITIES, spoiled))


def test_pictures_without_a_face_prove_nothing(pack: PackFile, inferer: OnnxInferer, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 128, np.uint8))
    pictures = Pictures.under(tmp_path)
    assert not judge(pack, inferer, inferer, pictures)
    with pytest.raises(EngineError, match="none of the pictures shows a face"):
        fed(pack, inferer, list(pictures.images()))


def test_nets_that_are_left_out_are_not_judged(pack: PackFile, inferer: OnnxInferer, some: Pictures) -> None:
    class WithoutLiveness(Changed):
        def serves(self, net: str) -> bool:
            return not net.startswith("minifasnet")

    reduced = WithoutLiveness(inferer, "", lambda answer: answer)
    gate = judge(pack, reduced, reduced, some)
    assert gate
    assert [figure.model for figure in gate.figures] == ["face_detector", "face_detector_256x256", "face_recognizer"]


def test_a_detector_that_moves_crops_is_blamed_for_what_liveness_nets_make_of_them(
    pack: PackFile, inferer: OnnxInferer, pictures: Path
) -> None:
    """Of the many faces in that picture some are neither clearly live nor clearly fake."""

    def shrunk(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        centre, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) * 0.4
        return np.concatenate([centre - half, centre + half], axis=-1)

    found = Changed(inferer, "face_detector", replaced(contract.BOXES, shrunk))
    many = Pictures((pictures / "detection" / "bald_guys.jpg",))
    gate = judge(pack, inferer, found, many)
    assert gate.failed == {"face_detector"}
    assert any("P(real)" in flip.what for flip in gate.flips)


def test_verdicts_that_the_pictures_have_none_of_are_named(
    pack: PackFile, inferer: OnnxInferer, samples: dict[str, Path]
) -> None:
    def unjudged(*files: Path) -> tuple[str, ...]:
        return judge(pack, inferer, inferer, Pictures(files)).unjudged

    live, fake, another = (samples[f"image_{name}.jpg"] for name in ("T1", "F2", "F1"))
    assert unjudged(live) == ("two pictures of one person", "pictures of two people", "a fake face")
    assert unjudged(fake) == ("two pictures of one person", "pictures of two people", "a live face")
    assert unjudged(live, live, fake) == ("pictures of two people",)
    assert unjudged(live, live, fake, another) == ()


def test_a_folder_of_pictures_is_read_in_a_fixed_order_and_a_bad_one_is_named(tmp_path: Path) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    for name in ("b.png", "a/c.jpg", "a/B.PNG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture + len(name))
    (tmp_path / "labels.csv").write_text("no picture")
    pictures = Pictures.under(tmp_path)
    assert [str(file.relative_to(tmp_path)) for file in pictures.files] == ["a/B.PNG", "a/c.jpg", "b.png"]
    before = pictures.digest
    (tmp_path / "copy.png").write_bytes((tmp_path / "b.png").read_bytes())
    assert Pictures.under(tmp_path).digest == before, "a copy proves nothing more"
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert pictures.digest != before
    with pytest.raises(EngineError, match=r"b\.png: not a JPEG"):
        list(pictures.images())
    with pytest.raises(EngineError, match="no pictures there"):
        Pictures.under(tmp_path / "a" / "none")


def test_few_pictures_are_all_taken_and_many_are_spread() -> None:
    files = tuple(Path(f"{number}.jpg") for number in range(1000))
    assert Pictures(files[:9]).some().files == files[:9]
    many = Pictures(files).some().files
    assert 32 < len(many) <= 64
    assert many == files[::16]
