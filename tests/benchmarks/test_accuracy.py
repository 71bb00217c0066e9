"""The default pack on the labelled pictures: what a user may expect of it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy import Measurement, Pair, best_threshold, is_live, leave_identities_out, matched
from benchmarks.shrinking import enlarged, linear
from facegate_client.imaging.image import decode
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.runtime.onnx.runner import OnnxInferer


@pytest.fixture(scope="module")
def measured(pack, repository, pictures):
    return Measurement(Pipeline(pack, OnnxInferer(repository, pack.nets)), pictures)


def test_a_live_face_is_told_from_photos_of_photos(measured):
    p_real = measured.liveness()
    assert p_real["image_T1.jpg"] > 0.99
    assert p_real["image_F1.jpg"] < 0.2
    assert p_real["image_F2.jpg"] < 0.05


@pytest.mark.parametrize(
    ("first", "second", "verified"),
    [
        ("image_T1.jpg", "image_F2.jpg", False),
        ("image_F2.jpg", "image_F2.jpg", False),
        ("image_T1.jpg", "image_T1.jpg", True),
    ],
)
def test_verification_with_liveness(measured, pictures, first, second, verified):
    images = [decode((pictures / "liveness" / name).read_bytes()) for name in (first, second)]
    verdict, *_ = measured.pipeline.verify(images, threshold=None, anti_spoofing=True)
    assert verdict.verified is verified
    assert first != second or verdict.distance == pytest.approx(0, abs=1e-5)


def test_pairs_are_judged_right_by_thresholds_of_other_identities(measured, pack):
    pairs = measured.pairs()
    assert len(pairs) == 300
    assert leave_identities_out(pairs) >= 297
    assert best_threshold(pairs) == pytest.approx(pack.recognizer.threshold, abs=0.03)
    assert all((pair.distance < pack.recognizer.threshold) == pair.same for pair in pairs)


def test_labelled_faces_are_found(measured, pack):
    labelled, found, extra = measured.detection(pack.detector.min_score)
    assert labelled == 43
    assert found >= 42
    assert extra <= 5


@pytest.mark.parametrize(("name", "faces"), [("t1.jpg", 6), ("bald_guys.jpg", 24), ("dogs.jpg", 1)])
def test_faces_are_counted_right(measured, name, faces):
    assert measured.count(name) == faces


def test_the_best_detected_of_several_faces_is_often_not_the_largest(measured):
    several = measured.several_faces()
    assert len(several) == 13
    assert sum(not each.best_is_largest for each in several) == 9
    assert all(0 <= each.lead < 0.011 for each in several)


@pytest.mark.parametrize("name", ["image_T1.jpg", "true_001.jpg", "true_003.png", "image_F2.jpg", "fake_003.jpg"])
def test_size_and_noise_change_no_liveness_verdict(measured, pictures, name):
    """Noise of a large picture does not reach the models as a coarse pattern."""
    image = decode((pictures / "liveness" / name).read_bytes())
    own, large = (
        measured.pipeline.analyze(each, anti_spoofing=True, embeddings=True, max_faces=1)
        for each in (image, enlarged(image, noise=8)[0])
    )
    assert own.liveness.is_real[0] == large.liveness.is_real[0] == is_live(name)
    assert large.liveness.p_real[0] == pytest.approx(own.liveness.p_real[0], abs=0.03)
    assert 1 - own.embeddings[0] @ large.embeddings[0] < 0.03


@pytest.mark.parametrize("name", ["2009_004587.jpg", "t1.jpg", "bald_guys.jpg", "couple.jpg"])
def test_boxes_stay_where_linear_interpolation_finds_them(measured, pictures, name):
    """The first is not shrunk, t1 by exactly 2, the others by more."""
    path = pictures / "detection" / name
    with linear():
        before = measured.analyze(path).faces
    after = measured.analyze(path).faces
    assert len(before) == len(after)
    assert matched(before.boxes.tolist(), after.boxes, 0.95) == len(before)
    if name in ("2009_004587.jpg", "t1.jpg"):
        assert np.array_equal(before.boxes, after.boxes)


def test_the_threshold_is_the_middle_of_the_gap():
    distances = [(0.1, True), (0.3, True), (0.5, False), (0.9, False)]
    assert best_threshold(Pair(frozenset(), same, d) for d, same in distances) == pytest.approx(0.4)
