"""gRPC's health service: whoever else asks, and however, everybody is told, and the gateway stops."""

from __future__ import annotations

import asyncio
import json
import logging

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_status import rpc_status
from structlog.testing import capture_logs

from facegate.gateway.door.health import Health
from facegate.gateway.door.metrics import Metrics
from facegate.gateway.door.open_services import MOST_OPEN
from facegate.gateway.door.readiness import Readiness
from facegate.gateway.localai.backend_pb2 import HealthMessage, StatusResponse
from facegate.gateway.localai.backend_pb2_grpc import BackendStub
from facegate_client.errors import DeadlineExceeded, FaceGateError, Unreachable
from support.gateway import gateway
from support.grpc_gateway import grpc_gateway
from support.memory_gallery import MemoryGallery
from support.raw_http2 import without_window

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
WATCH = "/grpc.health.v1.Health/Watch"
NOBODY = HealthCheckRequest(service="nobody")


@pytest.fixture
def running():
    with grpc_gateway("127.0.0.1:1") as started:
        yield started


@pytest.fixture
def health(running):
    with grpc.insecure_channel(running.address) as channel:
        yield HealthStub(channel)


def tell(running, serving):
    running.loop.call_soon_threadsafe(running.health.tell, serving)


def status_after(watching):
    return next(watching).status


def test_a_service_that_is_not_there_is_said_so_in_the_standard_way(health):
    with pytest.raises(grpc.RpcError) as refused:
        health.Check(NOBODY)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    info = ErrorInfo()
    assert rpc_status.from_call(refused.value).details[0].Unpack(info)
    assert dict(info.metadata) == {}  # the call is not logged: there is no id to look for
    assert status_after(health.Watch(NOBODY, timeout=10)) == HealthCheckResponse.SERVICE_UNKNOWN


def test_a_watcher_is_told_of_every_change(running, health):
    watching = health.Watch(HealthCheckRequest(service="facegate.v1.FaceService"), timeout=10)
    for serving in (True, False, True):
        tell(running, serving)
        assert status_after(watching) == (SERVING if serving else NOT_SERVING)


def test_a_watcher_that_does_not_read_keeps_nobody_from_being_told(running, health):
    with without_window(running.address, WATCH):
        watching = health.Watch(HealthCheckRequest(), timeout=10)
        assert status_after(watching) == SERVING
        tell(running, False)
        assert status_after(watching) == NOT_SERVING
        assert health.Check(HealthCheckRequest(), timeout=10).status == NOT_SERVING


def test_a_watcher_that_leaves_does_not_silence_the_others(running, health):
    leaving, staying = (health.Watch(HealthCheckRequest(), timeout=10) for _ in range(2))
    assert status_after(leaving) == status_after(staying) == SERVING
    leaving.cancel()
    for serving in (False, True):  # the first one may still find both
        tell(running, serving)
        assert status_after(staying) == (SERVING if serving else NOT_SERVING)


def test_any_number_of_watchers_leaves_room_for_a_check(health):
    watching = [health.Watch(NOBODY, timeout=30) for _ in range(MOST_OPEN)]
    for each in watching:
        next(each)
    with pytest.raises(grpc.RpcError) as refused:
        next(health.Watch(NOBODY, timeout=30))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert health.Check(HealthCheckRequest(), timeout=10).status == SERVING
    for each in watching:
        each.cancel()


def test_bytes_that_are_no_request_are_refused_without_a_word_in_the_log(running, caplog):
    with grpc.insecure_channel(running.address) as channel, caplog.at_level(logging.WARNING):
        for call in ("Check", "Watch"):
            asked = channel.unary_stream(f"/grpc.health.v1.Health/{call}")(b"\xff" * 20, timeout=10)
            with pytest.raises(grpc.RpcError) as refused:
                next(asked)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caplog.records == []


def test_the_gateway_stops_whoever_watches(tmp_path):
    """One who never reads; the gateway's Triton is not there, which it need not be."""
    with (
        gateway(tmp_path / "log", "127.0.0.1:1") as running,
        without_window(running.grpc, WATCH),
        grpc.insecure_channel(running.grpc) as channel,
    ):
        watching = HealthStub(channel).Watch(HealthCheckRequest(), timeout=60)
        assert status_after(watching) == NOT_SERVING
        running.process.terminate()
        assert running.process.wait(50) == 0
    assert running.log.read_text().rstrip().endswith("facegate: gateway stopped")


class Triton:
    """A transport to a Triton that is away for the error in `seen`, or serves the models in it."""

    seen: FaceGateError | frozenset[str] = frozenset()
    pack: str | None = json.dumps({"liveness": {"nets": [{"name": "net_a"}, {"name": "net_b"}]}})

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        if isinstance(self.seen, FaceGateError):
            raise self.seen
        return model in self.seen

    async def model_parameters(self, model: str, timeout_s: float) -> dict[str, str]:
        return {"permits": "4"} | ({} if self.pack is None else {"pack": self.pack})


ALL = frozenset({"face_analyze", "face_verify", "net_a", "net_b"})


def looks(triton, *, gallery=None, needs_liveness=True, times=1):
    """What /readyz answers after looking, and what is logged."""
    with capture_logs() as logs:
        metrics = Metrics()
        readiness = Readiness(triton, gallery or MemoryGallery(), Health([]), metrics, needs_liveness=needs_liveness)
        for _ in range(times):
            asyncio.run(readiness.look())
    return {"ready": readiness.ready, **readiness.parts()}, logs


@pytest.mark.parametrize(
    ("served", "pack", "reason"),
    [
        (ALL - {"net_b"}, Triton.pack, "net_b"),
        (ALL, '{"liveness": null}', "--without-liveness"),
        (ALL, "{}", "face_analyze"),
        (ALL, "[", "face_analyze"),
        (ALL, None, "face_analyze"),
    ],
)
def test_a_missing_liveness_model_is_not_ready_and_named_once_in_the_log(served, pack, reason):
    triton = Triton()
    triton.seen, triton.pack = served, pack
    seen, logs = looks(triton, times=3)
    assert (seen["ready"], seen["liveness"], seen["gallery"]) == (False, False, True)
    (line,) = logs
    assert (line["ready"], line["liveness"]) == (False, False)
    assert reason in line["reason"]


def test_a_gateway_without_liveness_does_not_ask_for_its_models():
    triton = Triton()
    triton.seen, triton.pack = frozenset({"face_analyze", "face_verify"}), None
    seen, _ = looks(triton, needs_liveness=False)
    assert seen == {"ready": True, "triton": True, "gallery": True, "stopping": False}


def test_a_gallery_that_is_not_ready_is_logged_whatever_triton_does():
    triton, gallery = Triton(), MemoryGallery()
    with capture_logs() as logs:
        readiness = Readiness(triton, gallery, Health([]), Metrics())
        for gallery.ready in (True, True, False, False):
            asyncio.run(readiness.look())
    assert [(each["triton"], each["gallery"]) for each in logs] == [(False, True), (False, False)]


def test_a_server_without_liveness_models_is_ready_only_for_a_gateway_that_does_without(
    server_without_liveness, tmp_path
):
    for number, (url, options, ready) in enumerate(
        (
            (server_without_liveness.grpc, (), False),
            (f"http://{server_without_liveness.http}", (), False),
            (server_without_liveness.grpc, ("--without-liveness",), True),
        )
    ):
        log = tmp_path / str(number)
        with gateway(log, url, *options) as running, grpc.insecure_channel(running.grpc) as channel:
            seen = httpx.get(f"{running.base}/readyz")
            assert (seen.status_code, seen.json()["triton"]) == (200 if ready else 503, True)
            assert seen.json().get("liveness") == (None if ready else False)
            check = HealthStub(channel).Check(HealthCheckRequest(service="facegate.v1.FaceService"), timeout=10)
            assert check.status == (SERVING if ready else NOT_SERVING)
            state = BackendStub(channel).Status(HealthMessage(), timeout=10).state
            assert state == (StatusResponse.READY if ready else StatusResponse.UNINITIALIZED)
        assert ("or start the gateway with --without-liveness" in log.read_text()) is not ready


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_a_server_with_liveness_models_is_ready(server, tmp_path, transport):
    url = server.grpc if transport == "grpc" else f"http://{server.http}"
    with gateway(tmp_path / "log", url) as running:
        seen = httpx.get(f"{running.base}/readyz")
        assert (seen.status_code, seen.json()["liveness"]) == (200, True)


def test_why_triton_does_not_answer_is_logged_once_and_when_it_changes():
    triton = Triton()
    with capture_logs() as logs:
        readiness = Readiness(triton, MemoryGallery(), Health([]), Metrics())
        refused, late = Unreachable("refused"), DeadlineExceeded("late")
        for triton.seen in (
            refused,
            late,
            refused,
            frozenset(),
            frozenset(),
            ALL,
            ALL,
            late,
        ):  # gRPC's words change by themselves
            asyncio.run(readiness.look())
    assert [(each["ready"], each.get("reason")) for each in logs] == [
        (False, "refused"),
        (False, "face_analyze is not ready"),
        (True, None),
        (False, "late"),
    ]
