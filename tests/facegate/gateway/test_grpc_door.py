"""How long a gRPC call may take, and that each is counted however it ends."""

from __future__ import annotations

import asyncio
import queue
import time

import grpc
import pytest

from facegate.gateway.door import messages
from facegate_client.errors import Unreachable
from facegate_client.service import face_service_pb2 as pb
from facegate_client.service.face_service_pb2_grpc import FaceServiceStub
from facegate_client.transport.base import Answer, Call
from support.grpc_gateway import grpc_gateway

BLACK = pb.AnalyzeRequest(image=pb.Image(frame=pb.Frame(bgr=bytes(27), height=3, width=3)))


class Slow:
    """A transport that takes a while and then finds nobody."""

    regions = None

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        await asyncio.sleep(self.seconds)
        raise Unreachable("nobody")

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        return True

    async def close(self) -> None: ...


def counted(running, series):
    text = running.metrics.text().decode()
    return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(series + " ")), 0.0)


def until(true):
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.01)


def test_a_gallery_that_hangs_does_not_hold_a_call_for_ever():
    """Not even one whose client takes its time to be cancelled, as PostgreSQL's does while the server is silent."""
    released = asyncio.Event()

    async def hang(person_id: str) -> None:
        try:
            await released.wait()
        except asyncio.CancelledError:
            await released.wait()

    with grpc_gateway("127.0.0.1:1", timeout_s=0.1) as running, grpc.insecure_channel(running.address) as channel:
        running.gallery.forget = hang
        with pytest.raises(grpc.RpcError) as late:
            FaceServiceStub(channel).Forget(pb.ForgetRequest(person_id="somebody"), timeout=30)
        running.loop.call_soon_threadsafe(released.set)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert late.value.details() == "no answer within the deadline"  # ours, and not what the caller's own would say


def test_a_stream_that_falls_silent_is_ended_but_not_while_it_is_worked_for(monkeypatch):
    monkeypatch.setattr(messages, "IDLE_SECONDS", 0.3)
    with grpc_gateway(Slow(0.7)) as running, grpc.insecure_channel(running.address) as channel:
        for sent in (2, 0):
            waiting: queue.Queue[pb.AnalyzeStreamRequest | None] = queue.Queue()
            call = FaceServiceStub(channel).AnalyzeStream(iter(waiting.get, None), timeout=30)
            for number in range(sent):  # each answer takes longer than the stream may be silent
                waiting.put(pb.AnalyzeStreamRequest(id=str(number), request=BLACK))
                assert next(call).id == str(number)
            with pytest.raises(grpc.RpcError) as ended:
                next(call)
            waiting.put(None)
            assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert ended.value.details() == "nothing came on this stream for 0.3 s"
        until(lambda: counted(running, "facegate_gateway_requests_in_flight") == 0)


def test_errors_within_a_stream_are_counted_while_it_lasts():
    with grpc_gateway(Slow(0)) as running, grpc.insecure_channel(running.address) as channel:
        waiting: queue.Queue[pb.AnalyzeStreamRequest | None] = queue.Queue()
        call = FaceServiceStub(channel).AnalyzeStream(iter(waiting.get, None), timeout=30)
        for request in (BLACK, pb.AnalyzeRequest(), pb.AnalyzeRequest()):
            waiting.put(pb.AnalyzeStreamRequest(request=request))
            next(call)
        assert counted(running, "facegate_gateway_stream_messages_total") == 3
        assert counted(running, 'facegate_gateway_stream_errors_total{code="UNAVAILABLE"}') == 1
        assert counted(running, 'facegate_gateway_stream_errors_total{code="INVALID_ARGUMENT"}') == 2
        waiting.put(None)
        assert list(call) == []


def test_a_stream_that_is_cancelled_while_it_writes_is_counted_and_gives_its_place_back():
    """Answers of 100 kB each, which nobody reads: they fill the call's window."""
    requests = (pb.AnalyzeStreamRequest(id="x" * 100_000) for _ in range(200))
    with grpc_gateway("127.0.0.1:1") as running:
        with grpc.insecure_channel(running.address) as channel:
            call = FaceServiceStub(channel).AnalyzeStream(requests, timeout=30)
            seen = -1.0
            while seen != (seen := counted(running, "facegate_gateway_stream_messages_total")) or not seen:
                time.sleep(0.2)
            assert seen < 200
            call.cancel()
            cancelled = 'facegate_gateway_requests_total{code="CANCELLED",method="AnalyzeStream",wire="grpc"}'
            until(lambda: counted(running, cancelled) == 1)
        assert counted(running, "facegate_gateway_requests_in_flight") == 0
