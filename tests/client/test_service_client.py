"""The client of FaceService, both kinds: what it puts on the wire, and what it makes of what comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from typer.testing import CliRunner

from facegate.cli.running import free_ports
from facegate.gateway.door.grpc_errors import status_of
from facegate.gateway.errors import Code, Failure, Violation
from facegate_client import (
    BadImage,
    DeadlineExceeded,
    FaceClient,
    FaceGateError,
    InvalidRequest,
    LivenessUnavailable,
    Model,
    NoFace,
    NoSuchPerson,
    NotAuthenticated,
    NotLive,
    Overloaded,
    ServerFault,
    Unreachable,
)
from facegate_client.cli.app import app
from facegate_client.errors import from_status
from facegate_client.service import FaceServiceClient, Match, Person
from facegate_client.service import face_service_pb2 as pb
from support.fake_face_service import BOX, MODEL, BlockingService, FakeFaceService, face, serve
from support.fake_triton import serve as serve_triton

Maker = Callable[..., Any]
LIVENESS = {"is_real_1": True, "antispoof_score_1": 0.75, "is_real_2": True, "antispoof_score_2": 0.5}
ADA = pb.Person(id="a1", name="Ada", labels={"door": "north"}, photos=2, registered_at=Timestamp(seconds=1_700_000_000))


@pytest.fixture(params=[FaceServiceClient, BlockingService], ids=["threads", "asyncio"])
def new_client(request: pytest.FixtureRequest) -> Maker:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def fake() -> Iterator[FakeFaceService]:
    with serve() as running:
        yield running


@pytest.fixture
def client(fake: FakeFaceService, new_client: Maker) -> Iterator[Any]:
    with new_client(fake.url, timeout_s=5) as made:
        yield made


def verdict(**changed: Any) -> pb.VerifyResponse:
    values = {"verified": True, "distance": 0.25, "threshold": 0.5, "confidence": 50, "box_1": BOX, "box_2": BOX}
    return pb.VerifyResponse(**{**values, "processing_time_ms": 7, "model": MODEL, **changed})


def identified(**changed: Any) -> pb.IdentifyResponse:
    match = pb.Match(person=ADA, distance=0.25, confidence=50, match=True)
    values = {"matches": [match], "box": BOX, "score": 0.5, "threshold": 0.5, "model": MODEL}
    return pb.IdentifyResponse(**{**values, **changed})


def test_a_verification_is_asked_and_told(fake: FakeFaceService, client: Any, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a file")
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    fake.answers["Verify"] = verdict()
    result = client.verify(tmp_path / "a.jpg", pixels[:, ::-1])
    assert result
    assert (result.is_real_1, result.antispoof_score_1, result.is_real_2, result.antispoof_score_2) == (None,) * 4
    assert result.model == Model("mobileface", "MIT", True, "d", "e", "fp32", 0.4)
    (request,) = fake.requests
    frame = pb.Frame(bgr=pixels[:, ::-1].tobytes(), height=2, width=3)
    assert request == pb.VerifyRequest(image_1=pb.Image(encoded=b"a file"), image_2=pb.Image(frame=frame))
    assert fake.seconds_given is not None
    assert 0 < fake.seconds_given < 6
    fake.answers["Verify"] = verdict(**LIVENESS)
    result = client.verify(b"a", b"b", threshold=0.3, anti_spoofing=True)
    assert (result.is_real_1, result.antispoof_score_1, result.is_real_2, result.antispoof_score_2) == (
        True,
        0.75,
        True,
        0.5,
    )
    assert (fake.requests[1].threshold, fake.requests[1].anti_spoofing) == (0.3, True)


def test_faces_are_asked_and_told(fake: FakeFaceService, client: Any) -> None:
    fake.answers["Analyze"] = pb.AnalyzeResponse(faces=[face(embedding=True, liveness=(False, 0.25))], model=MODEL)
    (found,) = client.analyze(b"x", anti_spoofing=True, min_score=0.5, max_faces=3)
    assert (found.box, found.landmarks[4], found.is_real, found.antispoof_score) == (
        (10, 20, 60, 80),
        (4, 4),
        False,
        0.25,
    )
    assert found.embedding.dtype == np.float32
    assert fake.requests[0] == pb.AnalyzeRequest(
        image=pb.Image(encoded=b"x"), anti_spoofing=True, with_embeddings=True, min_score=0.5, max_faces=3
    )
    fake.answers["Detect"] = pb.DetectResponse(faces=[face()], model=MODEL)
    (found,) = client.detect(b"x")
    assert (found.embedding, found.is_real) == (None, None)
    assert not fake.requests[1].HasField("min_score")
    fake.answers["Embed"] = pb.EmbedResponse(embedding=[0.6, 0.8], box=BOX, score=0.5, model=MODEL)
    assert client.embed(b"x").values.tolist() == pytest.approx([0.6, 0.8])


def test_which_face_counts_is_asked_and_the_number_of_faces_told(fake: FakeFaceService, client: Any) -> None:
    embedded = {"embedding": [0.6, 0.8], "box": BOX, "score": 0.5, "model": MODEL}
    older = {
        "Verify": verdict(),
        "Analyze": pb.AnalyzeResponse(faces=[face(embedding=True)], model=MODEL),
        "Embed": pb.EmbedResponse(**embedded),
        "Enroll": pb.EnrollResponse(person=ADA, faces=[face()] * 2, model=MODEL),
        "Identify": identified(),
    }

    def ask(**options: str) -> list[Any]:
        verified = client.verify(b"x", b"y", **options)
        enrolled = [
            client.enroll([b"x", b"y"], name="Ada", **options),
            client.add_photos("a1", [b"x", b"y"], **options),
        ]
        alone = [client.analyze(b"x", **options), client.embed(b"x", **options), client.identify(b"x", **options)]
        return [
            verified.face_count_1,
            verified.face_count_2,
            *(each.face_counts for each in enrolled),
            *(each.face_count for each in alone),
        ]

    fake.answers |= older
    assert ask() == [None] * 7
    assert not any(request.HasField("several_faces") for request in fake.requests)
    fake.answers |= {
        "Verify": verdict(face_count_1=3, face_count_2=1),
        "Analyze": pb.AnalyzeResponse(faces=[face(embedding=True)], model=MODEL, face_count=3),
        "Embed": pb.EmbedResponse(**embedded, face_count=3),
        "Enroll": pb.EnrollResponse(person=ADA, faces=[face()] * 2, model=MODEL, face_counts=[1, 3]),
        "Identify": identified(face_count=3),
    }
    fake.requests.clear()
    assert ask(several_faces="largest") == [3, 1, (1, 3), (1, 3), 3, 3, 3]
    assert [request.several_faces for request in fake.requests] == ["largest"] * 6


@pytest.mark.parametrize("counts", [[1], [1, 0], [1, 1, 1]])
def test_a_number_of_faces_that_cannot_be_of_the_photos_is_a_fault(
    fake: FakeFaceService, client: Any, counts: list[int]
) -> None:
    fake.answers["Enroll"] = pb.EnrollResponse(person=ADA, faces=[face()] * 2, model=MODEL, face_counts=counts)
    with pytest.raises(ServerFault):
        client.enroll([b"x", b"y"], name="Ada")


def test_people_are_asked_and_told(fake: FakeFaceService, client: Any) -> None:
    ada = Person("a1", "Ada", {"door": "north"}, datetime.fromtimestamp(1_700_000_000, timezone.utc), 2)
    fake.answers["Enroll"] = pb.EnrollResponse(person=ADA, faces=[face(liveness=(True, 0.75))] * 2, model=MODEL)
    enrolled = client.enroll([b"x", b"y"], name="Ada", labels={"door": "north"}, anti_spoofing=True)
    assert (enrolled.person, [each.is_real for each in enrolled.faces]) == (ada, [True, True])
    images = [pb.Image(encoded=b"x"), pb.Image(encoded=b"y")]
    assert fake.requests[0] == pb.EnrollRequest(name="Ada", labels={"door": "north"}, images=images, anti_spoofing=True)
    fake.answers["Enroll"] = pb.EnrollResponse(person=ADA, faces=[face()], model=MODEL)
    client.add_photos("a1", [b"x"])
    assert fake.requests[1] == pb.EnrollRequest(person_id="a1", images=images[:1])
    fake.answers["Identify"] = identified()
    found = client.identify(b"x", top_k=2, threshold=0.5, margin=0.1)
    assert (found.person, found.matches, found.is_real) == (ada, (Match(ada, 0.25, 50, True),), None)
    assert fake.requests[2] == pb.IdentifyRequest(image=images[0], top_k=2, threshold=0.5, margin=0.1)
    fake.answers["Forget"] = pb.ForgetResponse()
    assert client.forget("a1") is None


def test_people_come_page_by_page(fake: FakeFaceService, client: Any) -> None:
    pages = {
        "": pb.ListPeopleResponse(people=[ADA, ADA], next_page_token="2"),
        "2": pb.ListPeopleResponse(people=[ADA], next_page_token="3"),
        "3": pb.ListPeopleResponse(),
    }
    fake.answers["ListPeople"] = lambda request: pages[request.page_token]
    everybody = client.people()
    assert next(everybody).name == "Ada"
    assert len(fake.requests) == 1
    assert len(list(everybody)) == 2


def test_the_key_goes_with_every_call_and_is_not_shown(fake: FakeFaceService, new_client: Maker) -> None:
    fake.answers["Forget"] = pb.ForgetResponse()
    with new_client(fake.url, api_key="a-secret-of-mine") as client:
        client.forget("a1")
        assert "a-secret" not in repr(vars(getattr(client, "_made", client)))
    assert fake.metadata["x-api-key"] == "a-secret-of-mine"


@pytest.mark.parametrize(
    ("method", "answer", "ask"),
    [
        ("Verify", verdict(), lambda client: client.verify(b"a", b"b", anti_spoofing=True)),
        ("Verify", verdict(**LIVENESS), lambda client: client.verify(b"a", b"b")),
        (
            "Verify",
            verdict(**{name: value for name, value in LIVENESS.items() if name != "is_real_2"}),
            lambda client: client.verify(b"a", b"b", anti_spoofing=True),
        ),
        (
            "Verify",
            verdict(**{**LIVENESS, "is_real_2": False}),
            lambda client: client.verify(b"a", b"b", anti_spoofing=True),
        ),
        ("Verify", verdict(distance=float("nan")), lambda client: client.verify(b"a", b"b")),
        ("Verify", verdict(model=None), lambda client: client.verify(b"a", b"b")),
        (
            "Analyze",
            pb.AnalyzeResponse(faces=[face(embedding=True)], model=MODEL),
            lambda client: client.analyze(b"a", anti_spoofing=True),
        ),
        ("Analyze", pb.AnalyzeResponse(faces=[face()], model=MODEL), lambda client: client.analyze(b"a")),
        ("Detect", pb.DetectResponse(faces=[pb.Face(box=BOX)], model=MODEL), lambda client: client.detect(b"a")),
        ("Embed", pb.EmbedResponse(box=BOX, model=MODEL), lambda client: client.embed(b"a")),
        ("Identify", identified(), lambda client: client.identify(b"a", anti_spoofing=True)),
        (
            "Identify",
            identified(is_real=False, antispoof_score=0.25),
            lambda client: client.identify(b"a", anti_spoofing=True),
        ),
        ("Identify", identified(ambiguous=True), lambda client: client.identify(b"a")),
        (
            "Enroll",
            pb.EnrollResponse(person=ADA, faces=[face(liveness=(False, 0.25))], model=MODEL),
            lambda client: client.enroll([b"a"], name="Ada", anti_spoofing=True),
        ),
    ],
)
def test_an_answer_that_breaks_the_contract_is_a_fault_and_never_a_result(
    fake: FakeFaceService, client: Any, method: str, answer: Any, ask: Callable[[Any], Any]
) -> None:
    fake.answers[method] = answer
    with pytest.raises(ServerFault):
        ask(client)


KINDS: dict[Code, type[FaceGateError]] = {
    Code.INVALID_ARGUMENT: InvalidRequest,
    Code.UNAUTHENTICATED: NotAuthenticated,
    Code.NOT_FOUND: NoSuchPerson,
    Code.FAILED_PRECONDITION: LivenessUnavailable,
    Code.PAYLOAD_TOO_LARGE: InvalidRequest,
    Code.NOT_LIVE: NotLive,
    Code.RESOURCE_EXHAUSTED: Overloaded,
    Code.INTERNAL: ServerFault,
    Code.UNAVAILABLE: Unreachable,
    Code.DEADLINE_EXCEEDED: DeadlineExceeded,
}


@pytest.mark.parametrize(("code", "kind"), KINDS.items())
def test_each_refusal_is_its_exception(
    fake: FakeFaceService, client: Any, code: Code, kind: type[FaceGateError]
) -> None:
    fake.answers["Identify"] = status_of(Failure(code, "this is why"), "request-7")
    with pytest.raises(FaceGateError, match="this is why") as raised:
        client.identify(b"x")
    assert type(raised.value) is kind
    assert raised.value.request_id == "request-7"


@pytest.mark.parametrize(
    ("code", "field", "kind"),
    [
        (Code.NOT_FOUND, "image_2", NoFace),
        (Code.NOT_FOUND, "images[3]", NoFace),
        (Code.NOT_FOUND, "person_id", NoSuchPerson),
        (Code.INVALID_ARGUMENT, "image.frame", BadImage),
        (Code.INVALID_ARGUMENT, "threshold", InvalidRequest),
        (Code.NOT_LIVE, "images[0]", NotLive),
    ],
)
def test_what_a_refusal_is_about_decides_too(
    fake: FakeFaceService, client: Any, code: Code, field: str, kind: type[FaceGateError]
) -> None:
    fake.answers["Forget"] = status_of(Failure(code, "why", (Violation(field, "why"),)), "id")
    with pytest.raises(FaceGateError) as raised:
        client.forget("a1")
    assert type(raised.value) is kind


def test_a_reason_that_is_not_known_is_a_fault(fake: FakeFaceService, client: Any) -> None:
    fake.answers["Forget"] = Status(code=9, message="so far unheard of")
    with pytest.raises(ServerFault, match="so far unheard of"):
        client.forget("a1")


def test_a_gateway_that_is_not_there_or_does_not_answer(fake: FakeFaceService, new_client: Maker) -> None:
    with new_client(f"127.0.0.1:{free_ports(1)[0]}") as client, pytest.raises(Unreachable, match="refused"):
        client.forget("a1")
    fake.answers["Forget"] = lambda request: time.sleep(1) or pb.ForgetResponse()
    with new_client(fake.url, timeout_s=0.2) as client, pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"):
        client.forget("a1")


def test_another_server_at_the_address_is_said_to_be_one(fake: FakeFaceService, new_client: Maker) -> None:
    told = r"no FaceService is at 127\.0\.0\.1:\d+ \(.*\); a gateway's gRPC is on port 50051"
    with (
        serve_triton("grpc", lambda call: {}) as triton,
        new_client(triton.url) as client,
        pytest.raises(Unreachable, match=told),
    ):
        client.forget("a1")
    with FaceClient(fake.url) as client, pytest.raises(Unreachable, match=r"something else than Triton .* port 8001"):
        client.verify(b"a", b"b")
    assert type(from_status("UNIMPLEMENTED", "")) is Unreachable  # as servers in C++ say it


def test_what_cannot_be_sent_is_said_before_it_is(fake: FakeFaceService, client: Any) -> None:
    for ask in (
        lambda: client.verify(b"", b"x"),
        lambda: client.analyze(np.zeros((4, 4), np.uint8)),
        lambda: client.enroll(["no such file.jpg"], name="Ada"),
    ):
        with pytest.raises(BadImage):
            ask()
    for ask in (lambda: client.analyze(b"x", max_faces=-1), lambda: client.identify(b"x", top_k="many")):
        with pytest.raises(InvalidRequest):
            ask()
    assert fake.requests == []


@pytest.mark.parametrize(
    "wrong", [{"url": "http://gate:1"}, {"url": ""}, {"timeout_s": 0}, {"api_key": ""}, {"api_key": "a\nb"}]
)
def test_a_client_that_cannot_work_is_not_made(new_client: Maker, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        new_client(**wrong)


def test_a_closed_client_says_so(fake: FakeFaceService, new_client: Maker) -> None:
    with new_client(fake.url) as client:
        client.close()
        with pytest.raises(ValueError, match="is closed"):
            client.forget("a1")


def answering(request: pb.AnalyzeStreamRequest) -> pb.AnalyzeStreamResponse:
    """An error for an image that is called so, else one face."""
    if request.request.image.encoded == b"refused":
        violation = Violation("image", "no image")
        status = status_of(Failure(Code.INVALID_ARGUMENT, "image: no image", (violation,)), "request-7")
        return pb.AnalyzeStreamResponse(id=request.id, error=status)
    return pb.AnalyzeStreamResponse(id=request.id, response=pb.AnalyzeResponse(faces=[face()], model=MODEL))


def told(outcomes: Any) -> list[Any]:
    return [type(each) if isinstance(each, FaceGateError) else len(each) for each in outcomes]


def test_a_stream_has_an_outcome_for_each_image_in_order(fake: FakeFaceService, client: Any) -> None:
    fake.answers["AnalyzeStream"] = lambda requests, context: map(answering, requests)
    images = [b"", b"good", b"refused", "no such file.jpg", b"", b"good", b""]
    outcomes = list(client.analyze_stream(images, embeddings=False))
    assert told(outcomes) == [BadImage, 1, BadImage, BadImage, BadImage, 1, BadImage]
    assert outcomes[2].request_id == "request-7"
    assert told(client.analyze_stream([], embeddings=False)) == []
    assert told(client.analyze_stream([b""], embeddings=False)) == [BadImage]


def test_an_error_of_the_callers_own_is_raised_after_what_was_answered(fake: FakeFaceService, client: Any) -> None:
    fake.answers["AnalyzeStream"] = lambda requests, context: map(answering, requests)

    def images() -> Iterator[bytes]:
        yield b"good"
        raise LookupError("the camera is gone")

    outcomes = client.analyze_stream(images(), embeddings=False)
    with pytest.raises(LookupError, match="the camera is gone"):
        list(outcomes)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda requests, context: iter([]),
        lambda requests, context: [answering(each) for each in requests][:2],
        lambda requests, context: [answering(each) for each in requests][::-1],
        lambda requests, context: [answering(each) for each in requests] * 2,
        lambda requests, context: [pb.AnalyzeStreamResponse(id="0")],
        lambda requests, context: [answering(pb.AnalyzeStreamRequest(id="8"))],
    ],
    ids=["none", "too few", "out of order", "too many", "empty", "of nobody"],
)
def test_a_stream_that_breaks_the_contract_is_a_fault(fake: FakeFaceService, client: Any, wrong: Any) -> None:
    fake.answers["AnalyzeStream"] = lambda requests, context: iter(wrong(requests, context))
    with pytest.raises(ServerFault):
        list(client.analyze_stream([b"1", b"2", b"3"], embeddings=False))


def test_a_liveness_that_a_streams_answer_lacks_is_a_fault(fake: FakeFaceService, client: Any) -> None:
    fake.answers["AnalyzeStream"] = lambda requests, context: map(answering, requests)
    with pytest.raises(ServerFault, match="lacks is_real"):
        list(client.analyze_stream([b"good"], embeddings=False, anti_spoofing=True))


def test_a_stream_that_is_left_early_is_cancelled(fake: FakeFaceService, client: Any) -> None:
    ended: list[bool] = []

    def answer(requests: Any, context: Any) -> Iterator[Any]:
        context.add_callback(lambda: ended.append(True))
        return map(answering, requests)

    fake.answers["AnalyzeStream"] = answer
    outcomes = client.analyze_stream((b"good" for _ in range(10**9)), embeddings=False)
    assert len(next(outcomes)) == 1
    outcomes.close()
    deadline = time.monotonic() + 10
    while not ended:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_refusal_of_the_whole_stream_is_raised(fake: FakeFaceService, client: Any) -> None:

    def refuse(requests: Any, context: Any) -> None:
        context.abort_with_status(rpc_status.to_status(status_of(Failure(Code.UNAUTHENTICATED, "no key"), "id")))

    fake.answers["AnalyzeStream"] = refuse
    with pytest.raises(NotAuthenticated, match="no key"):
        list(client.analyze_stream([b"good"]))


def test_two_people_who_are_equally_near_are_said_to_be(fake: FakeFaceService) -> None:
    fake.answers["Identify"] = identified(matches=[], ambiguous=True)
    for options, told in (([], "equally near"), (["--margin", "0.1"], "within the margin")):
        found = CliRunner().invoke(app, ["people", "identify", __file__, "--gateway", fake.url, *options])
        assert (found.exit_code, found.stdout.splitlines()[0]) == (1, f"not identified: two people are {told}")


def test_a_gateways_text_cannot_disturb_the_terminal(fake: FakeFaceService) -> None:
    person = pb.Person(id="a1\x07", name="Ada\x1b[2J\u202e\u2028Bea گل\u200cپری", labels={"\u2066a": "b\r\n"}, photos=1)
    fake.answers["ListPeople"] = pb.ListPeopleResponse(people=[person])
    match = pb.Match(person=person, distance=0.1, confidence=75, match=True)
    fake.answers["Identify"] = identified(matches=[match])
    run = CliRunner().invoke
    listed = run(app, ["people", "list", "--gateway", fake.url])
    assert listed.stdout == ("a1? Ada?[2J??Bea گل\u200cپری, 1 photo, since 1970-01-01 00:00 UTC ?a=b??\n")
    found = run(app, ["people", "identify", __file__, "--gateway", fake.url])
    assert found.stdout.splitlines()[:2] == [
        "identified: Ada?[2J??Bea گل\u200cپری",
        "Ada?[2J??Bea گل\u200cپری (a1?): distance 0.1000",
    ]
    for command in (["list"], ["identify", __file__]):
        told = run(app, ["people", *command, "--json", "--gateway", fake.url]).stdout
        assert told.isascii() and told.count("\n") == 1 and told.strip().isprintable()
