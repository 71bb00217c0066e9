"""Whatever bytes are sent for a message, they get an answer, nothing dies of them, and a good request is answered."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import psutil
import pytest

from facegate.gateway.localai import backend_pb2
from facegate_client.service import face_service_pb2
from facegate_client.service.face_service_pb2_grpc import FaceServiceStub
from support.gateway import Gateway, gateway

COUNT = 1000
SERVICES = (
    face_service_pb2.DESCRIPTOR.services_by_name["FaceService"],
    backend_pb2.DESCRIPTOR.services_by_name["Backend"],
)
METHODS = [method for service in SERVICES for method in service.methods]
LIVE = "image_T1.jpg"

EXPECTED = {
    grpc.StatusCode.OK,  # a body may be wrong and a message all the same
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
}
STRANGE_METADATA = (
    (("x-request-id", "../../etc/passwd" * 20),),
    (("authorization", "Bearer "), ("authorization", "Basic ~:~")),
    (("x-api-key", ""), ("x-api-key", "two")),
    (("grpc-timeout-bin", b"\xff\xfe"), ("x-junk-bin", bytes(2000))),
    (),
)


@pytest.fixture(scope="module")
def running(server, tmp_path_factory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway") / "log", server.grpc) as started:
        yield started


@pytest.fixture
def channel(running, samples) -> Iterator[grpc.Channel]:
    """After the test: the same process, and a good request answered."""
    process = psutil.Process(running.process.pid)
    with grpc.insecure_channel(running.grpc) as opened:
        yield opened
        image = face_service_pb2.Image(encoded=samples[LIVE].read_bytes())
        request = face_service_pb2.VerifyRequest(image_1=image, image_2=image, anti_spoofing=True)
        assert FaceServiceStub(opened).Verify(request, timeout=30).verified
    assert process.is_running()
    assert running.process.poll() is None


def test_malformed_messages_over_unary_calls(channel, samples):
    good = good_messages(samples[LIVE].read_bytes())
    outcomes = set()
    for number, body in enumerate(bodies(COUNT, good, seed=1)):
        method = METHODS[number % len(METHODS)]
        if method.name == "AnalyzeStream":
            continue
        call = channel.unary_unary(f"/{method.containing_service.full_name}/{method.name}")
        try:
            call(body, timeout=10, metadata=STRANGE_METADATA[number % len(STRANGE_METADATA)])
            outcomes.add(grpc.StatusCode.OK)
        except grpc.RpcError as error:
            assert error.code() in EXPECTED, (method.name, body[:200], error.details())
            outcomes.add(error.code())
    assert outcomes >= {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}


def test_malformed_messages_in_streams(channel, samples):
    good = good_messages(samples[LIVE].read_bytes())
    call = channel.stream_stream("/facegate.v1.FaceService/AnalyzeStream")
    wild = list(bodies(COUNT // 5, good, seed=2))
    for start in range(0, len(wild), 5):
        try:
            answers = list(call(iter(wild[start : start + 5]), timeout=10))
            assert len(answers) == 5
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.details()


def test_a_method_that_is_not_there_and_a_call_of_the_wrong_kind(channel):
    for path in ("/facegate.v1.FaceService/Destroy", "/nobody.Here/Verify", "/", "/backend.Backend/Predict"):
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(path)(b"", timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.RpcError) as refused:
        list(channel.stream_stream("/facegate.v1.FaceService/Verify")(iter([]), timeout=10))
    assert refused.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED)


def good_messages(image: bytes) -> list[bytes]:
    """A sound message of each kind that has an image or a word, small ones more often than large."""
    pb = face_service_pb2
    picture, frame = pb.Image(encoded=image), pb.Image(frame=pb.Frame(bgr=bytes(27), height=3, width=3))
    messages: list[Any] = [
        pb.VerifyRequest(image_1=frame, image_2=frame, threshold=0.4, anti_spoofing=True),
        pb.VerifyRequest(image_1=picture, image_2=frame),
        pb.AnalyzeRequest(image=frame, with_embeddings=True, min_score=0.5, max_faces=3),
        pb.EnrollRequest(name="Ada", labels={"door": "north"}, images=[frame, frame], person_id="someone"),
        pb.IdentifyRequest(image=frame, top_k=3, threshold=1, margin=0.1),
        pb.ForgetRequest(person_id="someone"),
        pb.ListPeopleRequest(page_size=3, page_token="YQ=="),
        pb.AnalyzeStreamRequest(id="1", request=pb.AnalyzeRequest(image=frame)),
        backend_pb2.FaceVerifyRequest(img1="aGVsbG8=", img2="aGVsbG8=", threshold=0.5, anti_spoofing=True),
        backend_pb2.PredictOptions(Images=["aGVsbG8="]),
    ]
    return [message.SerializeToString() for message in messages]


def bodies(count: int, good: list[bytes], seed: int) -> Iterator[bytes]:
    """`count` of them; the same ones for the same seed."""
    chance = random.Random(seed)
    for number in range(count):
        yield FAULTS[number % len(FAULTS)](chance, bytearray(chance.choice(good)))


def _noise(chance: random.Random, good: bytearray) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 2, 7, 100, 5000)))


def _flipped(chance: random.Random, good: bytearray) -> bytes:
    for _ in range(chance.randint(1, 8)):
        good[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
    return bytes(good)


def _cut(chance: random.Random, good: bytearray) -> bytes:
    return bytes(good[: chance.randrange(len(good))])


def _doubled(chance: random.Random, good: bytearray) -> bytes:
    at = chance.randrange(len(good))
    return bytes(good[:at] + good)


def _long_lengths(chance: random.Random, good: bytearray) -> bytes:
    """Fields whose length is said to be up to 2^64."""
    return bytes([chance.randint(1, 15) << 3 | 2]) + b"\xff" * chance.randint(1, 9) + b"\x01" + bytes(good)


def _deep(chance: random.Random, good: bytearray) -> bytes:
    """Groups, or messages, in one another."""
    return bytes([chance.randint(1, 15) << 3 | 3]) * chance.choice((50, 150, 100_000))


def _bad_text(chance: random.Random, good: bytearray) -> bytes:
    text = chance.choice((b"\xff\xfe", b"\xed\xa0\x80", b"\x00" * 9, "\u202e../..\n".encode()))
    field = chance.randint(1, 6)
    return bytes([field << 3 | 2, len(text)]) + text + bytes(good)


def _numbers(chance: random.Random, good: bytearray) -> bytes:
    """Each field as a varint, a fixed64 or a fixed32 of an extreme value."""
    extremes = (0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 0x7FF8 << 48, 0xFFF0 << 48)
    body = bytes(good)
    for _ in range(chance.randint(1, 5)):
        field, value = chance.randint(1, 6), chance.choice(extremes)
        kind = chance.choice((0, 1, 5))
        written = {0: _varint(value), 1: value.to_bytes(8, "little"), 5: (value & 0xFFFFFFFF).to_bytes(4, "little")}
        body += bytes([field << 3 | kind]) + written[kind]
    return body


def _varint(value: int) -> bytes:
    written = b""
    while value > 127:
        written, value = written + bytes([value & 127 | 128]), value >> 7
    return written + bytes([value])


FAULTS: tuple[Callable[[random.Random, bytearray], bytes], ...] = (
    _noise,
    _flipped,
    _cut,
    _doubled,
    _long_lengths,
    _deep,
    _bad_text,
    _numbers,
)
