"""One picture, the same faces: in Triton in-process, in Triton by BLS, and in a plain process."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks.second_look import cut_to_fill
from facegate_client import FaceClient
from facegate_client.imaging.image import decode
from facegate_ensemble.pipeline.letterbox import letterbox
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.triton import handlers
from support.wire import encoded, infer

FILLED = "a face that fills the picture"
PICTURES = ("liveness/image_T1.jpg", "liveness/image_F1.jpg", "detection/t1.jpg", "detection/bald_guys.jpg", FILLED)


@pytest.fixture(params=["in-process", "BLS"])
def served(request):
    return request.getfixturevalue("server" if request.param == "in-process" else "bls_server")


@pytest.fixture(scope="module")
def inferer(pack, repository):
    return OnnxInferer(repository, pack.nets)


@pytest.fixture(scope="module")
def pipeline(pack, inferer):
    return Pipeline(pack, inferer)


@pytest.fixture(scope="module")
def filled(pack, inferer, pipeline, samples):
    """A PNG that the first look finds no face in, and the second one."""
    photo = decode(samples["image_F1.jpg"].read_bytes())
    box = pipeline.analyze(photo, anti_spoofing=False, embeddings=False).faces.boxes[0]
    image = cut_to_fill(photo, box, 1.5)
    detector = pack.detector.model_copy(update={"second_look": None})
    once = Pipeline(pack.model_copy(update={"detector": detector}), inferer)
    assert not len(once.analyze(image, anti_spoofing=False, embeddings=False).faces)
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.mark.parametrize("picture", PICTURES)
def test_analysis(served, pipeline, pictures, filled, picture):
    image = encoded("IMAGE", filled if picture == FILLED else pictures / picture)
    there = infer("grpc", served.grpc, "face_analyze", [image], anti_spoofing=True).outputs
    here = handlers.analyze(pipeline, dict([image]), '{"anti_spoofing": true}')
    assert set(there) == set(here)
    assert len(there["BOXES"]) == len(here["BOXES"]) > 0
    assert np.abs(there["BOXES"] - here["BOXES"]).max() <= 0.5
    assert np.sum(there["EMBEDDINGS"] * here["EMBEDDINGS"], axis=1).min() >= 0.9999
    assert np.abs(there["ANTISPOOF_SCORE"] - here["ANTISPOOF_SCORE"]).max() <= 1e-3
    assert np.array_equal(there["IS_REAL"], here["IS_REAL"])


def test_verification(served, pipeline, samples):
    pair = [encoded("IMAGE_1", samples["image_T1.jpg"]), encoded("IMAGE_2", samples["image_F1.jpg"])]
    there = infer("grpc", served.grpc, "face_verify", pair, anti_spoofing=True).outputs
    here = handlers.verify(pipeline, dict(pair), '{"anti_spoofing": true}')
    assert set(there) == set(here)
    for name in set(there) - {"PROCESSING_TIME_MS", "MODEL"}:
        assert np.allclose(there[name], here[name], rtol=1e-4, atol=1e-3), name


def test_verification_of_a_face_that_fills_the_picture(served, pipeline, samples, filled):
    pair = [encoded("IMAGE_1", filled), encoded("IMAGE_2", samples["image_F1.jpg"])]
    there = infer("grpc", served.grpc, "face_verify", pair, anti_spoofing=True).outputs
    here = handlers.verify(pipeline, dict(pair), '{"anti_spoofing": true}')
    assert (there["FACE_COUNT_1"].tolist(), there["FACE_COUNT_2"].tolist()) == ([1], [1])
    for name in set(there) - {"PROCESSING_TIME_MS", "MODEL"}:
        assert np.allclose(there[name], here[name], rtol=1e-4, atol=1e-3), name


def test_a_face_that_fills_the_picture_is_found_without_a_server(repository, filled):
    with FaceClient("127.0.0.1:1", timeout_s=30, fallback="local", local_repository=repository) as alone:
        assert len(alone.analyze(filled)) == 1


def test_the_second_look_is_a_model_of_its_own(served, pipeline, filled):
    canvas, _ = letterbox(decode(filled), 256, 256)
    for transport in ("grpc", "http"):
        answer = infer(transport, getattr(served, transport), "face_detector_256x256", [("IMAGES", canvas[None])])
        assert answer.outputs["BOXES"].shape[2] == 4
        assert answer.outputs["SCORES"][0, 0] > pipeline.pack.detector.min_score


def test_the_nets_are_models_of_their_own(server, pipeline, samples):
    """Whoever wants a single net gets it, batched, from the same server."""
    crops = np.random.default_rng(5).integers(0, 256, (5, 80, 80, 3), dtype=np.uint8)
    there = infer("grpc", server.grpc, "minifasnet_v2", [("CROPS", crops)]).outputs["PROBABILITIES"]
    assert there.shape == (5, 3)
    assert np.allclose(there.sum(axis=1), 1, atol=1e-5)
