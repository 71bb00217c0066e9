"""LocalAI's backend wire on a real Triton: what a LocalAI installation gets."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import grpc
import numpy as np
import pytest

from facegate.cli.running import free_ports
from facegate.gateway.localai import backend_pb2 as pb
from facegate.gateway.localai.backend_pb2_grpc import BackendStub
from facegate_client import FaceClient, contract
from support.grpc_gateway import grpc_gateway
from support.refusals import refusal

LIVE, SPOOF = "image_T1.jpg", "image_F2.jpg"
BLACK = base64.b64encode(cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1]).decode()
LIVENESS = ("img1_is_real", "img1_antispoof_score", "img2_is_real", "img2_antispoof_score")


@contextmanager
def backend(triton: str) -> Iterator[Any]:
    with grpc_gateway(triton) as running, grpc.insecure_channel(running.address) as channel:
        yield BackendStub(channel)


@pytest.fixture(scope="module")
def ask(server) -> Iterator[Any]:
    with backend(server.grpc) as stub:
        yield stub


@pytest.fixture(scope="module")
def texts(samples) -> dict[str, str]:
    return {name: base64.b64encode(path.read_bytes()).decode() for name, path in samples.items()}


def fields(message: Any) -> set[str]:
    """The fields that are on the wire."""
    return {field.name for field, _ in message.ListFields()}


def test_it_is_healthy_ready_and_loaded_and_says_which_pack_answers(ask):
    assert ask.Health(pb.HealthMessage()).message == b"OK"
    assert ask.Status(pb.HealthMessage()).state == pb.StatusResponse.READY
    loaded = ask.LoadModel(pb.ModelOptions())
    assert loaded.success
    assert "mobileface" in loaded.message
    assert "MIT" in loaded.message


def test_without_triton_it_is_healthy_but_neither_ready_nor_loaded(texts):
    triton = f"127.0.0.1:{free_ports(1)[0]}"
    with grpc_gateway(triton) as running, grpc.insecure_channel(running.address) as channel:
        ask = BackendStub(channel)
        running.loop.call_soon_threadsafe(running.health.tell, False)
        assert ask.Health(pb.HealthMessage()).message == b"OK"
        assert ask.Status(pb.HealthMessage()).state == pb.StatusResponse.UNINITIALIZED
        loaded = ask.LoadModel(pb.ModelOptions())
        assert not loaded.success
        assert loaded.message.startswith("UNAVAILABLE: ")
        counted = 'facegate_gateway_requests_total{code="UNAVAILABLE",method="LoadModel",wire="localai"} 1.0'
        assert counted in running.metrics.text().decode().splitlines()
        request = pb.FaceVerifyRequest(img1=texts[LIVE], img2=texts[LIVE], anti_spoofing=True)
        assert refusal(ask.FaceVerify, request) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", [])


def test_a_verdict_is_the_one_that_triton_gives(server, ask, texts, samples):
    with FaceClient(server.grpc) as client:
        for anti_spoofing in (False, True):
            expected = client.verify(samples[LIVE], samples[SPOOF], anti_spoofing=anti_spoofing)
            got = ask.FaceVerify(pb.FaceVerifyRequest(img1=texts[LIVE], img2=texts[SPOOF], anti_spoofing=anti_spoofing))
            assert (got.verified, got.distance, got.threshold, got.confidence, got.model) == (
                expected.verified,
                expected.distance,
                expected.threshold,
                expected.confidence,
                "mobileface",
            )
            area, box = got.img1_area, expected.box_1
            assert (area.x, area.y, area.x + area.w, area.y + area.h) == pytest.approx(box)
            assert (got.img1_is_real, got.img2_is_real) == (bool(expected.is_real_1), bool(expected.is_real_2))
            assert got.processing_time_ms > 0


def test_liveness_is_on_the_wire_only_where_it_was_asked_for(ask, texts):
    plain = ask.FaceVerify(pb.FaceVerifyRequest(img1=texts[LIVE], img2=texts[LIVE]))
    assert plain.verified
    assert not fields(plain) & set(LIVENESS)
    checked = ask.FaceVerify(pb.FaceVerifyRequest(img1=texts[LIVE], img2=texts[LIVE], anti_spoofing=True))
    assert fields(checked) >= set(LIVENESS)
    (plain,) = ask.FaceAnalyze(pb.FaceAnalyzeRequest(img=texts[LIVE], actions=["age"])).faces
    assert fields(plain) == {"region", "face_confidence"}
    (checked,) = ask.FaceAnalyze(pb.FaceAnalyzeRequest(img=texts[SPOOF], anti_spoofing=True)).faces
    assert not checked.is_real
    assert 0 < checked.antispoof_score < 0.5


def test_a_threshold_of_0_is_the_packs_own_and_any_other_is_the_callers(ask, texts):
    request = pb.FaceVerifyRequest(img1=texts[LIVE], img2=texts[SPOOF])
    own = ask.FaceVerify(request)
    request.threshold = own.distance / 2
    strict = ask.FaceVerify(request)
    assert (own.verified, strict.verified) == (True, False)
    assert strict.threshold == pytest.approx(own.distance / 2)


def test_detect_and_analyze_give_every_face_as_corner_and_size(ask, pictures):
    text = base64.b64encode((pictures / "detection/t1.jpg").read_bytes()).decode()
    detections = ask.Detect(pb.DetectOptions(src=text)).Detections
    faces = ask.FaceAnalyze(pb.FaceAnalyzeRequest(img=text)).faces
    assert len(detections) == len(faces) == 6
    for detection, face in zip(detections, faces, strict=True):
        assert detection.class_name == "face"
        region = face.region
        assert (detection.x, detection.y, detection.width, detection.height, detection.confidence) == (
            region.x,
            region.y,
            region.w,
            region.h,
            face.face_confidence,
        )
    assert not ask.Detect(pb.DetectOptions(src=BLACK)).Detections


def test_an_embedding_is_the_best_faces(server, ask, texts, samples):
    answer = ask.Embedding(pb.PredictOptions(Images=[texts[LIVE]]))
    with FaceClient(server.grpc) as client:
        (face,) = client.analyze(samples[LIVE])
    assert face.embedding is not None
    assert list(answer.embeddings) == face.embedding.tolist()
    assert (answer.dim, answer.tokens, answer.layout) == (128, 0, pb.EmbeddingResult.FINAL)


def test_a_data_uri_is_as_good_as_plain_base64(ask, texts):
    plain = pb.DetectOptions(src=texts[LIVE])
    uri = pb.DetectOptions(src=f"data:image/jpeg;base64,{texts[LIVE]}")
    assert ask.Detect(uri) == ask.Detect(plain)


def test_fields_that_this_server_does_not_know_are_ignored(ask, texts):
    known = pb.DetectOptions(src=texts[LIVE]).SerializeToString()
    unknown = bytes([15 << 3 | 2, 5]) + b"hello" + bytes([14 << 3, 7])
    assert ask.Detect(pb.DetectOptions.FromString(known + unknown)).Detections


def test_a_known_field_that_is_of_another_type_is_refused_and_not_ignored(ask, texts):
    known = pb.FaceVerifyRequest(img1=texts[LIVE], img2=texts[SPOOF]).SerializeToString()
    request = pb.FaceVerifyRequest.FromString(known + b"\x22\x04true")
    assert refusal(ask.FaceVerify, request) == (INVALID, "INVALID_ARGUMENT", ["anti_spoofing"])


INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
SECRET = "/etc/passwd"


@pytest.mark.parametrize(
    ("method", "request_of", "expected"),
    [
        ("FaceVerify", lambda live: pb.FaceVerifyRequest(img2=live), (INVALID, "img1")),
        ("FaceVerify", lambda live: pb.FaceVerifyRequest(img1=live, img2="no base64"), (INVALID, "img2")),
        ("FaceVerify", lambda live: pb.FaceVerifyRequest(img1=live, img2="aGVsbG8="), (INVALID, "img2")),
        ("FaceVerify", lambda live: pb.FaceVerifyRequest(img1=live[:4000], img2=live), (INVALID, "img1")),
        ("FaceVerify", lambda live: pb.FaceVerifyRequest(img1=live, img2=live, threshold=-1), (INVALID, "threshold")),
        ("FaceVerify", lambda live: pb.FaceVerifyRequest(img1=live, img2=live, threshold=3), (INVALID, "threshold")),
        (
            "FaceVerify",
            lambda live: pb.FaceVerifyRequest(img1=live, img2=live, threshold=float("nan")),
            (INVALID, "threshold"),
        ),
        ("FaceVerify", lambda live: pb.FaceVerifyRequest(img1=live, img2=BLACK), (NOT_FOUND, "img2")),
        (
            "FaceVerify",
            lambda live: pb.FaceVerifyRequest(img1=BLACK, img2=live, anti_spoofing=True),
            (NOT_FOUND, "img1"),
        ),
        ("FaceAnalyze", lambda live: pb.FaceAnalyzeRequest(), (INVALID, "img")),
        ("FaceAnalyze", lambda live: pb.FaceAnalyzeRequest(img="data:image/png,abc"), (INVALID, "img")),
        ("Embedding", lambda live: pb.PredictOptions(), (INVALID, "Images")),
        ("Embedding", lambda live: pb.PredictOptions(Images=[live, live]), (INVALID, "Images")),
        ("Embedding", lambda live: pb.PredictOptions(Images=["aGVsbG8="]), (INVALID, "Images[0]")),
        ("Embedding", lambda live: pb.PredictOptions(Images=[BLACK]), (NOT_FOUND, "Images[0]")),
        ("Detect", lambda live: pb.DetectOptions(), (INVALID, "src")),
        ("Detect", lambda live: pb.DetectOptions(src=SECRET), (INVALID, "src")),
        ("Detect", lambda live: pb.DetectOptions(src="file:///etc/passwd"), (INVALID, "src")),
        ("Detect", lambda live: pb.DetectOptions(src="http://127.0.0.1:1/a.jpg"), (INVALID, "src")),
        ("Detect", lambda live: pb.DetectOptions(src="A" * (contract.MAX_IMAGE_BYTES * 4 // 3 + 8)), (INVALID, "src")),
    ],
)
def test_what_is_wrong_or_missing_is_said_by_this_wires_names(ask, texts, method, request_of, expected):
    code, field = expected
    assert refusal(getattr(ask, method), request_of(texts[LIVE])) == (code, code.name, [field])


def test_liveness_that_cannot_be_checked_is_an_error_and_never_an_answer(server_without_liveness, texts):
    with backend(server_without_liveness.grpc) as ask:
        expected = (grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION", [])
        verify = pb.FaceVerifyRequest(img1=texts[LIVE], img2=texts[LIVE], anti_spoofing=True)
        assert refusal(ask.FaceVerify, verify) == expected
        assert refusal(ask.FaceAnalyze, pb.FaceAnalyzeRequest(img=texts[LIVE], anti_spoofing=True)) == expected
        verify.anti_spoofing = False
        assert ask.FaceVerify(verify).verified
