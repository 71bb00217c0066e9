"""FaceService on a real Triton: what a caller of any language gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import grpc
import numpy as np
import pytest

from facegate_client import FaceClient, contract
from facegate_client.service import face_service_pb2 as pb
from facegate_client.service.face_service_pb2_grpc import FaceServiceStub
from support.exact_images import portrait_files
from support.grpc_gateway import GrpcGateway, grpc_gateway
from support.refusals import refusal

LIVE, SPOOF = "image_T1.jpg", "image_F2.jpg"
LIVENESS = ("is_real", "antispoof_score")
LIVENESS_OF_TWO = tuple(f"{name}_{number}" for name in LIVENESS for number in (1, 2))


@pytest.fixture(scope="module")
def gateway(server) -> Iterator[GrpcGateway]:
    with grpc_gateway(server.grpc) as running:
        yield running


@pytest.fixture(scope="module")
def ask(gateway) -> Iterator[Any]:
    with grpc.insecure_channel(gateway.address) as channel:
        yield FaceServiceStub(channel)


@pytest.fixture
def people(gateway, ask) -> Iterator[None]:
    """Whoever a test enrols is forgotten after it."""
    yield
    for person in ask.ListPeople(pb.ListPeopleRequest(page_size=1000)).people:
        ask.Forget(pb.ForgetRequest(person_id=person.id))


@pytest.fixture(scope="module")
def images(samples) -> dict[str, pb.Image]:
    return {name: pb.Image(encoded=path.read_bytes()) for name, path in samples.items()}


def black(height: int = 48, width: int = 64) -> pb.Image:
    return pb.Image(frame=pb.Frame(bgr=bytes(height * width * 3), height=height, width=width))


def present(message: Any, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if message.HasField(name)]


@pytest.mark.parametrize("name", ["rgbx.bmp", "exif6.jpg", "grey16_trns.png"])
def test_a_reported_image_is_answered_as_its_pixels_are(ask, samples, name):
    file, pixels = portrait_files(cv2.imread(str(samples[LIVE]))[::2, ::2])[name]
    frame = pb.Frame(bgr=pixels.tobytes(), height=pixels.shape[0], width=pixels.shape[1])
    answers = [ask.Analyze(pb.AnalyzeRequest(image=each)) for each in (pb.Image(encoded=file), pb.Image(frame=frame))]
    assert len(answers[0].faces) == 1
    assert answers[0].faces == answers[1].faces


def test_a_verdict_is_the_one_that_triton_gives(server, ask, images, samples):
    with FaceClient(server.grpc) as client:
        for anti_spoofing in (False, True):
            expected = client.verify(samples[LIVE], samples[SPOOF], anti_spoofing=anti_spoofing)
            got = ask.Verify(pb.VerifyRequest(image_1=images[LIVE], image_2=images[SPOOF], anti_spoofing=anti_spoofing))
            assert (got.verified, got.distance, got.threshold, got.confidence) == (
                expected.verified,
                expected.distance,
                expected.threshold,
                expected.confidence,
            )
            assert (got.box_1.x1, got.box_1.y1, got.box_1.x2, got.box_1.y2) == expected.box_1
            assert got.model.digest == expected.model.digest
            assert got.processing_time_ms > 0


def test_liveness_that_was_not_asked_for_has_no_field(ask, images, people):
    verdict = ask.Verify(pb.VerifyRequest(image_1=images[LIVE], image_2=images[SPOOF]))
    assert verdict.verified
    assert present(verdict, LIVENESS_OF_TWO) == []
    enrolled = ask.Enroll(pb.EnrollRequest(name="Ada", images=[images[LIVE]]))
    identified = ask.Identify(pb.IdentifyRequest(image=images[LIVE]))
    for message in (
        *ask.Analyze(pb.AnalyzeRequest(image=images[LIVE])).faces,
        *ask.Detect(pb.DetectRequest(image=images[LIVE])).faces,
        *enrolled.faces,
        identified,
    ):
        assert present(message, LIVENESS) == []
    assert [match.match for match in identified.matches] == [True]


def test_a_fake_face_is_said_to_be_fake_and_vetoes(ask, images):
    verdict = ask.Verify(pb.VerifyRequest(image_1=images[LIVE], image_2=images[SPOOF], anti_spoofing=True))
    assert present(verdict, LIVENESS_OF_TWO) == list(LIVENESS_OF_TWO)
    assert (verdict.verified, verdict.is_real_1, verdict.is_real_2) == (False, True, False)
    assert verdict.distance < verdict.threshold
    assert verdict.antispoof_score_1 > 0.5 > verdict.antispoof_score_2
    (face,) = ask.Analyze(pb.AnalyzeRequest(image=images[SPOOF], anti_spoofing=True)).faces
    assert present(face, LIVENESS) == list(LIVENESS)
    assert not face.is_real


def test_a_fake_face_is_not_enrolled_and_not_identified(ask, images, people):
    request = pb.EnrollRequest(name="Ada", images=[images[LIVE], images[SPOOF]], anti_spoofing=True)
    assert refusal(ask.Enroll, request) == (grpc.StatusCode.INVALID_ARGUMENT, "NOT_LIVE", ["images[1]"])
    assert not ask.ListPeople(pb.ListPeopleRequest()).people
    request.images.pop()
    enrolled = ask.Enroll(request)
    assert [face.is_real for face in enrolled.faces] == [True]
    answer = ask.Identify(pb.IdentifyRequest(image=images[SPOOF], anti_spoofing=True))
    assert answer.HasField("is_real")
    assert (answer.is_real, list(answer.matches)) == (False, [])
    answer = ask.Identify(pb.IdentifyRequest(image=images[LIVE], anti_spoofing=True))
    assert answer.is_real
    assert [(match.person.name, match.match) for match in answer.matches] == [("Ada", True)]


def test_people_are_remembered_listed_in_pages_and_forgotten(ask, images, people):
    first = ask.Enroll(pb.EnrollRequest(name="Ada", labels={"door": "north"}, images=[images[LIVE]])).person
    ask.Enroll(pb.EnrollRequest(name="Grace", images=[images[LIVE]]))
    more = ask.Enroll(pb.EnrollRequest(person_id=first.id, images=[images[SPOOF], images[LIVE]])).person
    assert (more.id, more.name, dict(more.labels), more.photos) == (first.id, "Ada", {"door": "north"}, 3)
    assert first.registered_at.ToJsonString().endswith("Z")
    listed, token = [], ""
    while True:
        page = ask.ListPeople(pb.ListPeopleRequest(page_size=1, page_token=token))
        listed += [person.id for person in page.people]
        token = page.next_page_token
        if not token:
            break
    assert len(listed) == 2
    assert listed == sorted(listed)
    ask.Forget(pb.ForgetRequest(person_id=first.id))
    assert refusal(ask.Forget, pb.ForgetRequest(person_id=first.id))[:2] == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert [person.name for person in ask.ListPeople(pb.ListPeopleRequest()).people] == ["Grace"]


def test_a_margin_that_two_people_are_within_matches_neither(ask, images, people):
    for name in ("Ada", "Her twin"):
        ask.Enroll(pb.EnrollRequest(name=name, images=[images[LIVE]]))
    answer = ask.Identify(pb.IdentifyRequest(image=images[LIVE], margin=0.1))
    assert answer.ambiguous
    assert [match.match for match in answer.matches] == [False, False]
    answer = ask.Identify(pb.IdentifyRequest(image=images[LIVE], top_k=1))
    assert (answer.ambiguous, len(answer.matches), answer.matches[0].match) == (True, 1, False)  # equally near


def test_a_raw_frame_is_as_good_as_a_file(ask, images):
    pixels = cv2.imdecode(np.frombuffer(images[LIVE].encoded, np.uint8), cv2.IMREAD_COLOR)
    height, width = pixels.shape[:2]
    frame = pb.Image(frame=pb.Frame(bgr=pixels.tobytes(), height=height, width=width))
    (of_frame,) = ask.Detect(pb.DetectRequest(image=frame)).faces
    (of_file,) = ask.Detect(pb.DetectRequest(image=images[LIVE])).faces
    assert of_frame.box.x1 == pytest.approx(of_file.box.x1, abs=2)
    assert not of_frame.embedding
    assert len(of_frame.landmarks) == 5


def test_an_embedding_is_the_best_faces_and_of_the_recognizer_that_is_named(ask, images):
    answer = ask.Embed(pb.EmbedRequest(image=images[LIVE]))
    (face,) = ask.Analyze(pb.AnalyzeRequest(image=images[LIVE], with_embeddings=True)).faces
    assert list(answer.embedding) == list(face.embedding)
    assert np.linalg.norm(answer.embedding) == pytest.approx(1, abs=1e-5)
    assert answer.model.embedding_digest
    assert answer.model.threshold == pytest.approx(ask.Identify(pb.IdentifyRequest(image=images[LIVE])).threshold)


def test_no_face_is_an_empty_list_for_analyze_and_detect(ask):
    assert not ask.Analyze(pb.AnalyzeRequest(image=black(), anti_spoofing=True)).faces
    assert not ask.Detect(pb.DetectRequest(image=black())).faces


INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("method", "request_of", "field"),
    [
        ("Verify", lambda live: pb.VerifyRequest(image_1=live), "image_2"),
        ("Verify", lambda live: pb.VerifyRequest(image_1=pb.Image(encoded=b"GIF89a"), image_2=live), "image_1"),
        (
            "Verify",
            lambda live: pb.VerifyRequest(image_1=live, image_2=pb.Image(encoded=live.encoded[:2000])),
            "image_2",
        ),
        ("Verify", lambda live: pb.VerifyRequest(image_1=live, image_2=pb.Image(encoded=b"")), "image_2"),
        ("Verify", lambda live: pb.VerifyRequest(image_1=live, image_2=live, threshold=0), "threshold"),
        ("Verify", lambda live: pb.VerifyRequest(image_1=live, image_2=live, threshold=2.5), "threshold"),
        ("Verify", lambda live: pb.VerifyRequest(image_1=live, image_2=live, threshold=float("nan")), "threshold"),
        ("Analyze", lambda live: pb.AnalyzeRequest(), "image"),
        ("Analyze", lambda live: pb.AnalyzeRequest(image=pb.Image(encoded=b"BM" + bytes(90))), "image"),
        ("Analyze", lambda live: pb.AnalyzeRequest(image=live, min_score=-1), "min_score"),
        ("Analyze", lambda live: pb.AnalyzeRequest(image=live, min_score=float("inf")), "min_score"),
        ("Analyze", lambda live: pb.AnalyzeRequest(image=live, max_faces=0), "max_faces"),
        ("Detect", lambda live: pb.DetectRequest(image=live, max_faces=2**32 - 1), "max_faces"),
        ("Detect", lambda live: pb.DetectRequest(image=pb.Image(frame=pb.Frame(bgr=b"abc"))), "image.frame"),
        ("Detect", lambda live: frame_of(b"abc", 1, 2), "image.frame"),
        ("Detect", lambda live: frame_of(b"", 2**31, 2**32 - 1), "image.frame"),
        ("Detect", lambda live: frame_of(b"", 30_000, 30_000), "image.frame"),
        ("Embed", lambda live: pb.EmbedRequest(image=pb.Image(encoded=b"\xff\xd8\xff")), "image"),
        ("Enroll", lambda live: pb.EnrollRequest(name="Ada"), "images"),
        ("Enroll", lambda live: pb.EnrollRequest(name="Ada", images=[live, pb.Image()]), "images[1]"),
        ("Enroll", lambda live: pb.EnrollRequest(name="Ada", images=[live, pb.Image(encoded=b"x")]), "images[1]"),
        ("Enroll", lambda live: pb.EnrollRequest(name="Ada", images=[live] * 17), "images"),
        ("Enroll", lambda live: pb.EnrollRequest(images=[live]), "name"),
        ("Enroll", lambda live: pb.EnrollRequest(name="x" * 100_000, images=[live]), "name"),
        ("Enroll", lambda live: pb.EnrollRequest(name="Ada", labels={"": "x"}, images=[live]), "labels"),
        ("Identify", lambda live: pb.IdentifyRequest(image=live, top_k=0), "top_k"),
        ("Identify", lambda live: pb.IdentifyRequest(image=live, threshold=-0.1), "threshold"),
        ("Identify", lambda live: pb.IdentifyRequest(image=live, margin=float("nan")), "margin"),
        ("ListPeople", lambda live: pb.ListPeopleRequest(page_size=1001), "page_size"),
        ("ListPeople", lambda live: pb.ListPeopleRequest(page_token="no token"), "page_token"),
        ("ListPeople", lambda live: pb.ListPeopleRequest(page_token="_w=="), "page_token"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_by_field(ask, images, method, request_of, field):
    assert refusal(getattr(ask, method), request_of(images[LIVE])) == (INVALID, "INVALID_ARGUMENT", [field])


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        (b"\x22\x01\x01", "anti_spoofing"),  # as bytes
        (b"\x25\x01\x00\x00\x00", "anti_spoofing"),  # as a fixed32
        (b"\x48\x01", "9"),
        (b"\x1a\x02\x18\x01", "images[1].3"),
        (b"\x1a\x04\x12\x02\x20\x01", "images[1].frame.4"),
    ],
)
def test_a_field_that_nobody_would_read_is_refused_and_not_ignored(ask, images, people, extra, field):
    known = pb.EnrollRequest(name="Mallory", images=[images[SPOOF]]).SerializeToString()
    told = refusal(ask.Enroll, pb.EnrollRequest.FromString(known + extra))
    assert told == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])
    assert not ask.ListPeople(pb.ListPeopleRequest()).people


def frame_of(data: bytes, height: int, width: int) -> pb.DetectRequest:
    return pb.DetectRequest(image=pb.Image(frame=pb.Frame(bgr=data, height=height, width=width)))


@pytest.mark.parametrize(
    ("method", "request_of", "field"),
    [
        ("Verify", lambda live: pb.VerifyRequest(image_1=live, image_2=black()), "image_2"),
        ("Verify", lambda live: pb.VerifyRequest(image_1=black(), image_2=live, anti_spoofing=True), "image_1"),
        ("Embed", lambda live: pb.EmbedRequest(image=black()), "image"),
        ("Identify", lambda live: pb.IdentifyRequest(image=black()), "image"),
        ("Enroll", lambda live: pb.EnrollRequest(name="Ada", images=[live, black()]), "images[1]"),
        ("Enroll", lambda live: pb.EnrollRequest(person_id="nobody", images=[live]), "person_id"),
        ("Forget", lambda live: pb.ForgetRequest(person_id="nobody"), "person_id"),
        ("Forget", lambda live: pb.ForgetRequest(), "person_id"),
        ("Forget", lambda live: pb.ForgetRequest(person_id="../../etc/passwd" * 10_000), "person_id"),
    ],
)
def test_what_is_not_there_is_not_found_and_nobody_is_enrolled(ask, images, method, request_of, field):
    answer = refusal(getattr(ask, method), request_of(images[LIVE]))
    assert answer == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND", [field])
    assert not ask.ListPeople(pb.ListPeopleRequest()).people


def test_an_image_over_the_limit_is_refused_by_its_size(ask, images):
    too_large = pb.Image(encoded=bytes(contract.MAX_IMAGE_BYTES + 1))
    request = pb.VerifyRequest(image_1=too_large, image_2=images[LIVE])
    assert refusal(ask.Verify, request) == (INVALID, "INVALID_ARGUMENT", ["image_1"])
    with pytest.raises(grpc.RpcError, match="larger than max") as raised:
        ask.Verify(pb.VerifyRequest(image_1=too_large, image_2=pb.Image(encoded=bytes(20 * 2**20))))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture(scope="module")
def ask_without_liveness(server_without_liveness) -> Iterator[Any]:
    with (
        grpc_gateway(server_without_liveness.grpc) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        yield FaceServiceStub(channel)


@pytest.mark.parametrize(
    ("method", "request_of"),
    [
        ("Verify", lambda live: pb.VerifyRequest(image_1=live, image_2=live, anti_spoofing=True)),
        ("Analyze", lambda live: pb.AnalyzeRequest(image=live, anti_spoofing=True)),
        ("Enroll", lambda live: pb.EnrollRequest(name="Ada", images=[live], anti_spoofing=True)),
        ("Identify", lambda live: pb.IdentifyRequest(image=live, anti_spoofing=True)),
    ],
)
def test_liveness_that_cannot_be_checked_is_an_error_and_never_an_answer(
    ask_without_liveness, images, method, request_of
):
    ask = ask_without_liveness
    answer = refusal(getattr(ask, method), request_of(images[LIVE]))
    assert answer == (grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION", [])
    assert not ask.ListPeople(pb.ListPeopleRequest()).people
    request = request_of(images[LIVE])
    request.anti_spoofing = False
    getattr(ask, method)(request)
    for person in ask.ListPeople(pb.ListPeopleRequest()).people:
        ask.Forget(pb.ForgetRequest(person_id=person.id))
