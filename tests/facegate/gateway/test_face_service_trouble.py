"""The rows of the error table that need a server in trouble, over FaceService and LocalAI's wire."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from facegate.cli.running import free_ports
from facegate.gateway.localai import backend_pb2
from facegate.gateway.localai.backend_pb2_grpc import BackendStub
from facegate_client.errors import ServerFault
from facegate_client.service import face_service_pb2 as pb
from facegate_client.service.face_service_pb2_grpc import FaceServiceStub
from facegate_client.transport.base import Answer, Call
from support.grpc_gateway import grpc_gateway
from support.narrow import narrow_serving
from support.refusals import refusal, refusal_in
from support.serving import Server

PLACES = 8
MANY = 20


@pytest.fixture(scope="module")
def narrow_server(repository, tmp_path_factory) -> Iterator[Server]:
    with narrow_serving(repository, tmp_path_factory.mktemp("narrow"), PLACES) as running:
        yield running


@pytest.fixture(scope="module")
def crowd(pictures) -> bytes:
    """A picture that takes a server a while: 24 faces."""
    return bytes((pictures / "detection/bald_guys.jpg").read_bytes())


def calls_of(crowd: bytes) -> dict[str, Any]:
    """By wire, a function from stubs to a call with liveness."""
    text = base64.b64encode(crowd).decode()
    return {
        "grpc": lambda stubs: stubs[0].Analyze(
            pb.AnalyzeRequest(image=pb.Image(encoded=crowd), anti_spoofing=True), timeout=30
        ),
        "localai": lambda stubs: stubs[1].FaceAnalyze(
            backend_pb2.FaceAnalyzeRequest(img=text, anti_spoofing=True), timeout=30
        ),
    }


@pytest.mark.parametrize("wire", ["grpc", "localai"])
def test_overload_is_said_at_once_and_passes(narrow_server, crowd, wire):
    call = calls_of(crowd)[wire]

    async def run(address: str) -> list[Any]:
        async with grpc.aio.insecure_channel(address) as channel:
            stubs = FaceServiceStub(channel), BackendStub(channel)
            answers = await asyncio.gather(*(call(stubs) for _ in range(MANY)), return_exceptions=True)
            answers.append(await call(stubs))
            return answers

    with grpc_gateway(narrow_server.grpc) as running:
        *answers, last = asyncio.run(run(running.address))
    refused = [answer for answer in answers if isinstance(answer, grpc.RpcError)]
    assert 0 < len(refused) < MANY
    assert {answer.code() for answer in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert len(last.faces) == 24
    assert all(len(answer.faces) == 24 for answer in answers if answer not in refused)


def test_what_callers_have_given_up_triton_does_not_work_on(narrow_server, crowd):
    image = pb.Image(encoded=crowd)
    request = pb.VerifyRequest(image_1=image, image_2=image, anti_spoofing=True)

    async def run(address: str) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            verify = FaceServiceStub(channel).Verify
            calls = [verify(request, timeout=30) for _ in range(PLACES)]
            done, _ = await asyncio.wait(
                [asyncio.ensure_future(each) for each in calls], return_when=asyncio.FIRST_COMPLETED
            )
            for each in calls:
                each.cancel()
            assert len(done) < 3
            await verify(request, timeout=30)

    assert verifications(narrow_server).total() == 0
    with grpc_gateway(narrow_server.grpc) as running:
        asyncio.run(run(running.address))
    counted, last_change = verifications(narrow_server), time.monotonic()
    while time.monotonic() < last_change + 2:  # a call may also be cancelled on its way to Triton, and is not counted
        time.sleep(0.1)
        if (now := verifications(narrow_server)) != counted:
            counted, last_change = now, time.monotonic()
    assert set(+counted) <= {"OK", "RESOURCE_EXHAUSTED"}  # "the caller gave up while the request was waiting"
    assert 1 <= counted["OK"] <= PLACES - 4 + 1
    assert counted["RESOURCE_EXHAUSTED"] >= 1


def verifications(server: Server) -> Counter[str]:
    """face_verify's requests in Triton's metrics, by their outcome."""
    text = httpx.get(f"http://{server.metrics}/metrics").text
    counted: Counter[str] = Counter()
    for labels, value in re.findall(r"^facegate_requests_total{(.*)} (\S+)$", text, re.MULTILINE):
        if 'model="face_verify"' in labels:
            counted[re.search(r'code="(\w+)"', labels)[1]] += int(float(value))
    return counted


def test_an_answer_that_takes_too_long_is_given_up(narrow_server, crowd):
    text = base64.b64encode(crowd).decode()
    late = (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", [])
    image = pb.AnalyzeRequest(image=pb.Image(encoded=crowd), anti_spoofing=True)
    with (
        grpc_gateway(narrow_server.grpc, timeout_s=0.02) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        stub = FaceServiceStub(channel)
        assert refusal(stub.Analyze, image) == late
        request = backend_pb2.FaceAnalyzeRequest(img=text, anti_spoofing=True)
        assert refusal(BackendStub(channel).FaceAnalyze, request) == late
        (answer,) = stub.AnalyzeStream(iter([pb.AnalyzeStreamRequest(id="1", request=image)]))
        assert refusal_in(answer.error) == late


class Faulty:
    """A transport that fails in a way that a sound server never does."""

    regions = None

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        raise self.error

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        raise self.error

    async def close(self) -> None: ...


@pytest.mark.parametrize("error", [ServerFault("the answer lacks IS_REAL_1"), KeyError("/srv/secret")])
def test_a_fault_is_internal_on_every_wire_and_says_nothing_of_the_inside(error, crowd):
    with grpc_gateway(Faulty(error)) as running, grpc.insecure_channel(running.address) as channel:
        faces, backend = FaceServiceStub(channel), BackendStub(channel)
        image = pb.Image(encoded=crowd)
        internal = (grpc.StatusCode.INTERNAL, "INTERNAL", [])
        verify = pb.VerifyRequest(image_1=image, image_2=image, anti_spoofing=True)
        assert refusal(faces.Verify, verify) == internal
        text = base64.b64encode(crowd).decode()
        request = backend_pb2.FaceVerifyRequest(img1=text, img2=text, anti_spoofing=True)
        assert refusal(backend.FaceVerify, request) == internal
        analyze = pb.AnalyzeRequest(image=image)
        (answer,) = faces.AnalyzeStream(iter([pb.AnalyzeStreamRequest(request=analyze)]))
        assert refusal_in(answer.error) == internal
        assert "secret" not in answer.error.message
        assert "Traceback" not in answer.error.message


def test_without_triton_it_is_unavailable_and_says_when_to_come_back(crowd):
    gone = (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", [])
    with (
        grpc_gateway(f"127.0.0.1:{free_ports(1)[0]}") as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        request = pb.AnalyzeRequest(image=pb.Image(encoded=crowd), anti_spoofing=True)
        assert refusal(FaceServiceStub(channel).Analyze, request) == gone
