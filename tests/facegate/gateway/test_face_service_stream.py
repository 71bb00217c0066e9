"""AnalyzeStream on a real Triton."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from facegate.gateway.grpc.service import WINDOW
from facegate_client.service import face_service_pb2 as pb
from facegate_client.service.face_service_pb2_grpc import FaceServiceStub
from facegate_client.transport.base import Answer, Call
from support.grpc_gateway import grpc_gateway
from support.refusals import refusal, refusal_in

LIVE = "image_T1.jpg"


@pytest.fixture(scope="module")
def channel(server) -> Iterator[grpc.Channel]:
    with grpc_gateway(server.grpc) as running, grpc.insecure_channel(running.address) as channel:
        yield channel


@pytest.fixture(scope="module")
def ask(channel) -> Any:
    return FaceServiceStub(channel)


@pytest.fixture(scope="module")
def live(samples) -> pb.Image:
    return pb.Image(encoded=samples[LIVE].read_bytes())


def message(name: str, image: pb.Image | None, **options: Any) -> pb.AnalyzeStreamRequest:
    return pb.AnalyzeStreamRequest(id=name, request=pb.AnalyzeRequest(image=image, **options))


def black(side: int) -> pb.Image:
    return pb.Image(frame=pb.Frame(bgr=bytes(side * side * 3), height=side, width=side))


def test_answers_come_in_order_each_as_it_was_asked_for(ask, live):
    requests = [
        message("large", black(2000)),  # slower than those after it
        message("plain", live),
        message("checked", live, anti_spoofing=True),
        message("described", live, with_embeddings=True),
        *(message(str(number), live) for number in range(20)),
    ]
    answers = list(ask.AnalyzeStream(iter(requests), timeout=30))
    assert [answer.id for answer in answers] == [request.id for request in requests]
    assert [len(answer.response.faces) for answer in answers] == [0, *[1] * 23]
    faces = {answer.id: answer.response.faces[0] for answer in answers[1:]}
    assert [faces[name].HasField("is_real") for name in ("plain", "checked", "described", "7")] == [
        False,
        True,
        False,
        False,
    ]
    assert [bool(faces[name].embedding) for name in ("plain", "described")] == [False, True]


def test_a_request_that_cannot_be_answered_gets_its_error_and_the_stream_goes_on(ask, live):
    requests = [
        message("good", live),
        message("neither", pb.Image()),
        message("no image", pb.Image(encoded=b"hello")),
        message("faces", live, max_faces=5000),
        message("empty", None),
        message("still good", live, anti_spoofing=True),
    ]
    answers = list(ask.AnalyzeStream(iter(requests), timeout=30))
    assert [answer.id for answer in answers] == [request.id for request in requests]
    assert [answer.WhichOneof("outcome") for answer in answers] == ["response", *["error"] * 4, "response"]
    told = [refusal_in(answer.error) for answer in answers[1:5]]
    assert [each.code for each in told] == [grpc.StatusCode.INVALID_ARGUMENT] * 4
    assert [each.fields for each in told] == [["image"], ["image"], ["max_faces"], ["image"]]
    assert answers[5].response.faces[0].is_real


def test_a_request_with_a_field_that_nobody_would_read_ends_the_stream(channel):
    unread = b"\x0a\x01a\x12\x03\x12\x01\x01"  # anti_spoofing as bytes
    stream = channel.stream_stream("/facegate.v1.FaceService/AnalyzeStream")
    told = refusal(lambda sent, timeout: list(stream(iter([sent]), timeout=timeout)), unread)
    assert (told.code, told.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["request.anti_spoofing"])


def test_liveness_that_cannot_be_checked_is_the_error_of_who_asked_for_it(server_without_liveness, live):
    with grpc_gateway(server_without_liveness.grpc) as running, grpc.insecure_channel(running.address) as channel:
        requests = [message("plain", live), message("checked", live, anti_spoofing=True), message("plain", live)]
        answers = list(FaceServiceStub(channel).AnalyzeStream(iter(requests), timeout=30))
    assert refusal_in(answers[1].error).code is grpc.StatusCode.FAILED_PRECONDITION
    assert [len(answers[at].response.faces) for at in (0, 2)] == [1, 1]


def test_an_answer_comes_while_the_stream_is_still_open(ask, live):
    waiting: queue.Queue[Any] = queue.Queue()
    call = ask.AnalyzeStream(iter(waiting.get, None), timeout=30)
    for number in range(3):
        waiting.put(message(str(number), live))
        assert next(call).id == str(number)
    waiting.put(None)
    assert list(call) == []


class Stuck:
    """A transport whose calls take for ever, and which knows how many are under way."""

    regions = None

    def __init__(self) -> None:
        self.under_way = self.begun = 0

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        self.under_way += 1
        self.begun += 1
        try:
            await asyncio.sleep(60)
        finally:
            self.under_way -= 1
        raise AssertionError

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        return True

    async def close(self) -> None: ...


def test_only_so_many_are_under_way_and_cancelling_the_stream_cancels_them():
    stuck = Stuck()

    async def run(address: str) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            call = FaceServiceStub(channel).AnalyzeStream(message(str(number), black(8)) for number in range(100))
            await until(lambda: stuck.under_way == WINDOW)
            await asyncio.sleep(0.2)
            assert stuck.begun == WINDOW
            call.cancel()
            await until(lambda: stuck.under_way == 0)
            await asyncio.sleep(0.2)
            assert stuck.begun == WINDOW

    with grpc_gateway(stuck) as running:
        asyncio.run(run(running.address))


def test_a_unary_call_that_is_given_up_is_not_worked_on_any_more():
    stuck = Stuck()

    async def run(address: str) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = FaceServiceStub(channel)
            calls = [stub.Detect(pb.DetectRequest(image=black(8)), timeout=after) for after in (30, 0.2)]
            await until(lambda: stuck.begun == 2)
            calls[0].cancel()
            await until(lambda: stuck.under_way == 0)

    with grpc_gateway(stuck) as running:
        asyncio.run(run(running.address))


async def until(holds: Any) -> None:
    async def wait() -> None:
        while not holds():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 10)
