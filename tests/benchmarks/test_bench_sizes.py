"""What is lost and flipped against the default is counted, and no picture is judged where none is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import __main__ as command_line
from benchmarks.bench import halving, page, sizes
from benchmarks.bench.labelled import Pair, Photo, compared, labelled_pairs, labelled_photos
from facegate_client.imaging.image import decode
from facegate_ensemble.pipeline.detection import Faces
from facegate_ensemble.pipeline.liveness import Liveness
from facegate_ensemble.pipeline.pipeline import Analysis

LEFT, RIGHT = (10, 10, 50, 50), (100, 10, 140, 50)
SMILE = ((20, 25), (40, 25), (30, 32), (22, 42), (38, 42))


def faces_at(*boxes):
    landmarks = np.array([SMILE] * len(boxes), np.float32).reshape(-1, 5, 2)
    return Faces(np.array(boxes, np.float32).reshape(-1, 4), np.linspace(0.9, 0.8, len(boxes)), landmarks)


def analysis(*boxes, p_real=0.9, embedding=(1.0, 0.0)):
    p = np.full(len(boxes), p_real, np.float32)
    return Analysis(faces_at(*boxes), np.array([embedding] * len(boxes), np.float32), Liveness(p >= 0.5, p))


def photo(name, **more):
    return Photo(name, b"", **{"height": 480, "width": 640, **more})


def judged(default, found, photos=None, pairs=()):
    return compared(photos or [photo("a", best=2)], pairs, default, found, threshold=0.5)


def test_the_same_answers_pass():
    row = judged({"a": analysis(LEFT, RIGHT)}, {"a": analysis(RIGHT, LEFT)})
    assert row["gate"] == "passes" and row["labelled"] == 2 and row["which"] == []


def test_a_labelled_face_that_is_lost_fails():
    row = judged({"a": analysis(LEFT, RIGHT)}, {"a": analysis(LEFT)})
    assert row["gate"] == "fails" and (row["lost"], row["gone"], row["new"]) == (1, 1, 0)
    assert row["which"] == ["a: lost the face at [100  10 140  50]"]


def test_a_labelled_face_found_more_and_a_face_without_a_label_do_not_fail():
    photos = [photo("a", boxes=np.array([LEFT, RIGHT], np.float32))]
    row = judged({"a": analysis(LEFT)}, {"a": analysis(LEFT, RIGHT, (300, 300, 340, 340))}, photos)
    assert row["gate"] == "passes" and (row["labelled"], row["more"], row["new"]) == (1, 1, 2)


def test_another_verdict_on_liveness_fails():
    row = judged({"a": analysis(LEFT)}, {"a": analysis(LEFT, p_real=0.3)})
    assert row["gate"] == "fails" and row["is_real_flipped"] == 1
    assert row["largest_p_real_change"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("found", "flipped", "told"),
    [
        (analysis(LEFT, embedding=(0.8, 0.6)), 0, []),
        (analysis(LEFT, embedding=(0.0, 1.0)), 1, ["a and b, one person: distance 0.000 became 1.000"]),
        (analysis(), 1, ["a and b, one person: distance 0.000 became no face"]),
    ],
)
def test_another_verdict_on_a_pair_fails(found, flipped, told):
    default = {"a": analysis(LEFT), "b": analysis(LEFT)}
    row = judged(default, {**default, "a": found}, [photo("a")], [Pair("a", "b", same=True)])
    assert row["verified_flipped"] == flipped and row["which"] == told
    assert row["gate"] == ("fails" if flipped else "passes")


def test_on_the_photos_it_is_for_a_bucket_takes_these_alone():
    default = {name: analysis(LEFT) for name in "abc"}
    found = {"a": analysis(), "b": analysis(LEFT), "c": analysis(LEFT)}
    photos = [photo("a", best=1), photo("b", best=1, height=640, width=480), photo("c", best=1, height=640, width=480)]
    pairs = [Pair("a", "b", same=True), Pair("a", "a", same=True)]
    bucket = sizes.Bucket("detector", "portraits", lambda photo: photo.height > photo.width, lambda data: analysis())
    everything, own = sizes.gates(bucket, photos, pairs, default, found, 0.5)
    assert (everything["gate"], everything["photos"], everything["pairs"]) == ("fails", 3, 2)
    assert (own["gate"], own["photos"], own["pairs"]) == ("passes", 2, 1)


@pytest.mark.parametrize(
    ("size", "height", "width", "suits"),
    [
        ((480, 640), 1500, 2000, True),
        ((480, 640), 1080, 1920, True),
        ((480, 640), 1000, 1000, False),
        ((640, 480), 1080, 810, True),
        ((640, 480), 480, 640, False),
        ((384, 640), 1080, 1920, True),
        ((384, 640), 480, 640, False),
    ],
)
def test_a_detector_is_for_the_photos_that_it_reads_at_the_same_scale(size, height, width, suits):
    assert sizes._at_scale(size, photo("a", height=height, width=width)) is suits


@pytest.mark.parametrize(
    ("extension", "height", "width", "shape"),
    [(".jpg", 1280, 960, (640, 480)), (".jpg", 1279, 960, None), (".png", 1280, 960, None)],
)
def test_only_a_large_jpeg_is_halved(extension, height, width, shape):
    data = cv2.imencode(extension, np.zeros((height, width, 3), np.uint8))[1].tobytes()
    small = halving.halved(data)
    assert (None if small is None else small.shape[:2]) == shape


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_halved_picture_is_as_upright_as_a_whole_one(orientation):
    slope = np.add.outer(np.linspace(0, 200, 1280), np.linspace(0, 50, 960)).astype(np.uint8)
    plain = cv2.imencode(".jpg", cv2.merge([slope] * 3))[1].tobytes()
    tag = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
    data = plain[:2] + b"\xff\xe1" + (len(tag) + 8).to_bytes(2, "big") + b"Exif\0\0" + tag + plain[2:]
    small, whole = halving.halved(data), decode(data)
    assert small is not None and np.abs(small.astype(int) - whole[::2, ::2]).max() <= 4


def test_a_crop_is_enlarged_only_from_few_pixels(pack):
    image = np.zeros((2000, 2000, 3), np.uint8)
    near = Faces(*(np.asarray(each) for each in ([[800, 800, 1200, 1200]], [0.9], [np.array(SMILE) * 20])))
    assert not halving.enlarged(pack, image, near)
    assert halving.enlarged(pack, image, faces_at(LEFT))
    assert not halving.enlarged(pack, image, faces_at())


def test_the_labels_are_read(pictures):
    photos = {each.name: each for each in labelled_photos(pictures)}
    assert sum(len(each.boxes) for each in photos.values()) == 43
    assert photos["t1.jpg"].best == 6 and photos["image_T1.jpg"].best == 1
    pairs = labelled_pairs(pictures)
    assert len(pairs) == 300 and {name for pair in pairs for name in (pair.first, pair.second)} <= set(photos)


def test_without_the_labelled_pictures_it_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEGATE_MIRROR", str(tmp_path))
    answer = CliRunner().invoke(command_line.app, ["sizes"])
    assert answer.exit_code == 1
    with pytest.raises(FileNotFoundError, match="set FACEGATE_MIRROR to a directory with images/"):
        sizes.measure(True)


def test_the_page_has_both_tables():
    row = judged({"a": analysis(LEFT)}, {"a": analysis(LEFT, p_real=0.3)})
    ratio = {"kind": "ratio", "of": "images/s", "ratio": {"median": 1.1, "low": 1.0, "high": 1.2, "runs": 3}}
    rows = [{"kind": "gate", "bucket": "detector 320x320", "on": "all", **row}, ratio]
    told = {"command": "python -m benchmarks sizes", "machine": {"packages": {}}, "rows": rows}
    text = page.page({"sizes": told}, {})
    assert "| detector 320x320 | all | fails | 1 |" in text and "| sizes | images/s | 1.1 (1 to 1.2) |" in text
    assert "which" not in text.split("## sizes")[1].split("\n\n")[2]
