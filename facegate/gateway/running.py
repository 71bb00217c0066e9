"""One gateway process: both servers on one event loop, from bound to drained."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import re
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from facegate.errors import ServeError
from facegate.gateway.assembly import (
    behind_door,
    grpc_credentials,
    listen,
    probes_behind_door,
    triton_transport,
    url_fetcher,
)
from facegate.gateway.checks import check_model_threshold
from facegate.gateway.door import probes
from facegate.gateway.door.calls import Calls
from facegate.gateway.door.door import Door
from facegate.gateway.door.health import Health
from facegate.gateway.door.http_server import HttpServer
from facegate.gateway.door.interceptor import DoorInterceptor
from facegate.gateway.door.metrics import Metrics
from facegate.gateway.door.observed import ObservedGallery, ObservedResults, ObservedTransport
from facegate.gateway.door.readiness import ANSWER_SECONDS, Readiness
from facegate.gateway.errors import GatewayError
from facegate.gateway.faces import FaceGateway
from facegate.gateway.gallery.open import open_gallery
from facegate.gateway.grpc.server import SERVICES, bind, make_server
from facegate.gateway.rest.app import create_app
from facegate.gateway.settings import Settings
from facegate_client.errors import FaceGateError

DRAIN_SECONDS = 30
HAND_OVER_SECONDS = 2
"""For answers that are ready to reach their callers."""

REFUSING_SECONDS = 0.3
"""New requests are told to go elsewhere for at least so long, before nobody listens any more."""

MAX_PROBE_CONNECTIONS = 64
MAX_FILES = 65_536

AGAIN_SECONDS = 1.0
"""Who signals a process and its group, as timeout(1) does, means it once."""

Say = Callable[[str], None]


def run(settings: Settings, say: Say) -> None:
    """Serve until SIGTERM or SIGINT. Raises ServeError when that cannot be done."""
    _raise_file_limit()
    asyncio.run(_run(settings, say))


def _raise_file_limit() -> None:
    """A shell's soft limit, often 1,024, is less than the connections of REST and gRPC together."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if resource.RLIM_INFINITY != soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _run(settings: Settings, say: Say) -> None:
    ports = {"grpc": settings.grpc_port, "http": settings.http_port, "probe": settings.probe_port}
    if len(set(ports.values())) < len(ports):
        given = ", ".join(f"--{name}-port {port}" for name, port in ports.items())
        raise ServeError(f"{given}: the three have to differ")
    listening = listen(settings.host, settings.http_port, "REST", "--http-port")
    probed = listen(settings.host, settings.probe_port, "probes", "--probe-port")
    log_as_json(sys.stderr)
    metrics = Metrics()
    gallery = ObservedGallery(
        open_gallery(settings.gallery, settings.gallery_key, must_exist=settings.gallery_must_exist)
    )
    transport = ObservedTransport(triton_transport(settings), metrics)
    try:
        await _Gateway(settings, transport, gallery, metrics).serve(listening, probed, say)
    finally:
        await transport.close()
        await gallery.close()
    say("gateway stopped")


class _Gateway:
    def __init__(
        self, settings: Settings, transport: ObservedTransport, gallery: ObservedGallery, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._faces = FaceGateway(transport, gallery, settings.policy, ObservedResults(metrics))
        self._door = Door(settings.keys, settings.limits)
        calls = Calls(metrics)
        health = Health(SERVICES)
        self._readiness = Readiness(transport, gallery, health, metrics, needs_liveness=not settings.without_liveness)
        self._grpc = make_server(
            self._faces,
            [DoorInterceptor(self._door, calls, settings.timeout_s)],
            health,
            timeout_s=settings.timeout_s,
            max_message_bytes=settings.max_body_bytes,
        )
        app = create_app(self._faces, timeout_s=settings.timeout_s, urls=url_fetcher(settings))
        probing = probes.routes(self._readiness, metrics)
        guarded = behind_door(app, self._door, calls, probing, settings)
        self._http = HttpServer(guarded, settings.tls, HAND_OVER_SECONDS)
        self._probes = HttpServer(
            probes_behind_door(self._door, calls, probing, settings), None, HAND_OVER_SECONDS, MAX_PROBE_CONNECTIONS
        )

    async def serve(self, listening: socket.socket, probed: socket.socket, say: Say) -> None:
        """Until told to stop, and what is under way is answered."""
        bind(self._grpc, self._settings.grpc_address, grpc_credentials(self._settings.tls))
        stopping = _told_to_stop(say)
        await self._readiness.look()
        await self._check_policy()
        await self._grpc.start()
        serving: asyncio.Future[Any] = asyncio.gather(
            await self._http.begin(listening), await self._probes.begin(probed)
        )
        watching: asyncio.Future[Any] = asyncio.ensure_future(self._readiness.watch())
        gc.freeze()  # what is here stays: no collection has to look through it again
        triton = "answers" if self._readiness.triton else "does not answer yet"
        say(f"gateway ready: {self._settings.addresses}; Triton at {self._settings.triton} {triton}")
        told: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
        await asyncio.wait({told, serving, watching}, return_when=asyncio.FIRST_COMPLETED)
        await self._drain(serving, say)
        for task in (told, watching):
            task.cancel()
        for task in (serving, watching):
            if task.done() and not task.cancelled():
                task.result()  # raises what went wrong

    async def _check_policy(self) -> None:
        """Raises ServeError where the server's own threshold is above the limit. Unknown before Triton answers."""
        with contextlib.suppress(FaceGateError):
            model = await self._faces.model(timeout_s=ANSWER_SECONDS)
            try:
                check_model_threshold(self._settings.policy, model.threshold)
            except GatewayError as error:
                raise ServeError(f"{error}; raise --max-threshold or lower the pack's threshold") from None

    async def _drain(self, serving: asyncio.Future[Any], say: Say) -> None:
        """Take nothing new, which health and new callers are told; answer what is under way; then stop listening."""
        self._door.close()
        self._readiness.stop()
        await asyncio.sleep(REFUSING_SECONDS)
        try:
            await asyncio.wait_for(self._door.idle(), DRAIN_SECONDS)
        except asyncio.TimeoutError:
            say(f"{self._door.in_flight} requests are not answered after {DRAIN_SECONDS} s; breaking them off")
        self._http.should_exit = self._probes.should_exit = True
        stopping = asyncio.ensure_future(self._grpc.stop(HAND_OVER_SECONDS))  # who watches the health would stay
        await asyncio.wait({stopping, serving}, timeout=2 * HAND_OVER_SECONDS)


def _told_to_stop(say: Say) -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; another one, AGAIN_SECONDS later, ends the process at once."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    told_at: list[float] = []

    def stop() -> None:
        if not told_at:
            told_at.append(loop.time())
            say("gateway stopping: answering what is in flight")
            told.set()
        elif loop.time() - told_at[0] > AGAIN_SECONDS:
            os._exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return told


_LEADING_WORDS = re.compile(r"[A-Za-z ]*")

_SHARED = (structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"))


def log_as_json(stream: TextIO) -> None:
    """Of this process, libraries' loggers included: of these only warnings and worse."""
    renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*_SHARED, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_values, renderer],
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


MOST_CHARACTERS = 300
"""Of a library's message, which may repeat what it was given."""


def _without_values(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Where a library's error happened and of what kind it is; its own text may hold what a caller sent."""
    event["event"] = str(event["event"])[:MOST_CHARACTERS]
    if event.get("logger") == "asyncio":  # goes on with the error itself, or a callback with its arguments
        event["event"] = _LEADING_WORDS.match(event["event"])[0].strip()  # type: ignore[index]
    raised = event.pop("exc_info", None)
    if isinstance(raised, tuple) and raised[0] is not None:
        event["error"] = raised[0].__name__
        event["traceback"] = "".join(traceback.format_tb(raised[2]))
    return event
