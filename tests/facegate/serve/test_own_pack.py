"""A pack of one's own on a real server: an SCRFD, a recognizer that nobody has seen, and no liveness nets."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from benchmarks.accuracy import Measurement
from facegate.build.build import build
from facegate.packs.shipped import pack_named
from facegate_client.imaging.image import decode
from facegate_ensemble.pipeline.letterbox import letterbox
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from support import made_nets, own_packs
from support.missing import cannot_be_had
from support.serving import serving
from support.wire import TRANSPORTS, encoded, infer, refused


@pytest.fixture(scope="module")
def toml(request, weights, tmp_path_factory):
    """The pack's file, with its weights beside it."""
    folder = tmp_path_factory.mktemp("own")
    published = Path(os.environ.get("FACEGATE_MIRROR", "")) / "models" / own_packs.SCRFD
    if not published.is_file():
        cannot_be_had(request.config, f"{own_packs.SCRFD} is not here: FACEGATE_MIRROR names no directory with it")
    shutil.copyfile(published, folder / own_packs.SCRFD)
    recognizer = made_nets.unseen(weights["MobileFaceNet.onnx"], folder / "unseen.onnx")
    values = own_packs.values_of("buffalo_sc")
    values |= {"name": "own", "licence": "a test's own licence"}
    del values["liveness"], values["archives"]
    values["files"] = {
        own_packs.SCRFD: own_packs.local(folder / own_packs.SCRFD),
        recognizer.name: own_packs.local(recognizer, "the coat's"),
    }
    values["recognizer"] |= {
        "file": recognizer.name,
        "height": made_nets.UNSEEN_SIDE,
        "width": made_nets.UNSEEN_SIDE,
        "colour": "BGR",
        "dimension": made_nets.UNSEEN_DIMENSION,
        "threshold": 0.57,
        "template": made_nets.unseen_template(values["recognizer"]["template"]),
    }
    return own_packs.write(values, folder / "own.toml")


@pytest.fixture(scope="module")
def own_server(toml, tmp_path_factory):
    log = tmp_path_factory.mktemp("own_server") / "log"
    with serving(log, "--pack", str(toml), "--accept-license") as running:
        yield running


@pytest.fixture(scope="module")
def pipeline(toml):
    pack = pack_named(str(toml))
    return Pipeline(pack, OnnxInferer(build(pack, accept_license=True), pack.nets))


def straightforward(net: Path, image: np.ndarray) -> np.ndarray:
    """Faces [N, 5], x1 y1 x2 y2 and score, of SCRFD's raw outputs, level by level, with OpenCV's NMS."""
    canvas, factor = letterbox(image, 640, 640)
    blob = (canvas[:, :, ::-1].astype(np.float32) - 127.5) / 128
    session = onnxruntime.InferenceSession(str(net), providers=["CPUExecutionProvider"])
    raw = session.run(None, {session.get_inputs()[0].name: blob.transpose(2, 0, 1)[None]})
    found = []
    for level, stride in enumerate((8, 16, 32)):
        side = 640 // stride
        centres = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
        centres = np.repeat(centres, 2, axis=0) * stride
        scores, distances = raw[level][:, 0], raw[3 + level] * stride
        boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
        found.append(np.concatenate([boxes / factor, scores[:, None]], axis=1)[scores >= 0.5])
    faces = np.concatenate(found)
    sizes = np.concatenate([faces[:, :2], faces[:, 2:4] - faces[:, :2]], axis=1)
    return faces[cv2.dnn.NMSBoxes(sizes.tolist(), faces[:, 4].tolist(), 0.5, 0.4)]


def test_an_scrfd_finds_what_its_raw_outputs_say(own_server, toml, pictures):
    picture = pictures / "detection/t1.jpg"
    answer = infer("grpc", own_server.grpc, "face_analyze", [encoded("IMAGE", picture)]).outputs
    expected = straightforward(toml.parent / own_packs.SCRFD, decode(picture.read_bytes()))
    assert len(answer["BOXES"]) == len(expected) == 6
    for box in answer["BOXES"]:
        assert np.abs(expected[:, :4] - box).max(axis=1).min() <= 2  # pixels
    assert np.allclose(np.sort(answer["SCORES"]), np.sort(expected[:, 4]), atol=1e-4)


def test_an_scrfds_landmarks_lie_in_their_faces_in_the_templates_order(own_server, pictures):
    picture = encoded("IMAGE", pictures / "detection/t1.jpg")
    answer = infer("grpc", own_server.grpc, "face_analyze", [picture]).outputs
    for (x1, y1, x2, y2), points in zip(answer["BOXES"], answer["LANDMARKS"], strict=True):
        assert ((points >= (x1, y1)) & (points <= (x2, y2))).all()
        left_eye, right_eye, nose, left_corner, right_corner = points
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left_corner[0] < right_corner[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_corner[1], right_corner[1])


def test_an_scrfd_finds_the_labelled_faces(pipeline, pictures):
    labelled, found, _ = Measurement(pipeline, pictures).detection(None, overlap=0.4)
    assert labelled == 43
    assert found >= 42


def test_a_recognizer_that_nobody_has_seen_says_what_is_in_its_coat(own_server, server, samples):
    """Size, colour order, scale, template and dimension come from the TOML: any one of them wrong, and this fails."""
    image = encoded("IMAGE", samples["image_T1.jpg"])
    known = infer("grpc", server.grpc, "face_analyze", [image], max_faces=1).outputs
    faces = np.concatenate([known["BOXES"], known["LANDMARKS"].reshape(-1, 10)], axis=1)
    given = "FACES_IN", np.frombuffer(faces.astype("<f4").tobytes(), np.uint8)
    (embedding,) = infer("grpc", own_server.grpc, "face_analyze", [image, given]).outputs["EMBEDDINGS"]
    assert embedding.shape == (made_nets.UNSEEN_DIMENSION,)
    assert embedding @ np.concatenate([known["EMBEDDINGS"][0]] * 2) / np.sqrt(2) >= 0.9999


def test_people_are_verified_by_it(own_server, pictures):
    def distance(a: str, b: str) -> float:
        pair = [encoded(f"IMAGE_{i}", pictures / "verification" / name) for i, name in ((1, a), (2, b))]
        return float(infer("grpc", own_server.grpc, "face_verify", pair).outputs["DISTANCE"][0])

    assert distance("img1.jpg", "img2.jpg") < 0.57 < distance("img1.jpg", "img3.jpg")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("model", ["face_analyze", "face_verify"])
def test_without_liveness_nets_asking_for_them_is_an_error(own_server, samples, transport, model):
    names = ("IMAGE",) if model == "face_analyze" else ("IMAGE_1", "IMAGE_2")
    tensors = [encoded(name, samples["image_T1.jpg"]) for name in names]
    answer = infer(transport, own_server.address(transport), model, tensors, anti_spoofing=True)
    assert refused(answer, transport, "FAILED_PRECONDITION")
    assert "the pack own has no liveness nets" in answer.message


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_answer_names_the_licence(own_server, samples, transport):
    for model, names in (("face_analyze", ("IMAGE",)), ("face_verify", ("IMAGE_1", "IMAGE_2"))):
        tensors = [encoded(name, samples["image_T1.jpg"]) for name in names]
        (said,) = infer(transport, own_server.address(transport), model, tensors).outputs["MODEL"]
        metadata = json.loads(said)
        assert [len(metadata.pop(name)) for name in ("digest", "embedding_digest")] == [64, 64]
        assert metadata == {
            "pack": "own",
            "licence": "a test's own licence",
            "commercial_use": False,
            "precision": "fp32",
            "threshold": 0.57,
        }


def test_a_smaller_scrfd_is_one_line_in_the_toml(toml, pictures, tmp_path):
    text = (
        toml.read_text().replace("height = 640\nwidth = 640", "height = 320\nwidth = 352").replace('"own"', '"small"')
    )
    for file in toml.parent.glob("*.onnx"):
        shutil.copyfile(file, tmp_path / file.name)
    (tmp_path / "small.toml").write_text(text)
    pack = pack_named(str(tmp_path / "small.toml"))
    repository = build(pack, accept_license=True)
    image = decode((pictures / "detection/t1.jpg").read_bytes())
    small = Pipeline(pack, OnnxInferer(repository, pack.nets))
    assert len(small.analyze(image, anti_spoofing=False, embeddings=True).faces) == 6
