"""The gateway's gRPC server in this process, over a real socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from structlog.testing import capture_logs

from facegate.gateway.door.calls import Calls
from facegate.gateway.door.door import Door, Limits
from facegate.gateway.door.health import Health
from facegate.gateway.door.interceptor import DoorInterceptor
from facegate.gateway.door.keys import Keys
from facegate.gateway.door.metrics import Metrics
from facegate.gateway.faces import FaceGateway
from facegate.gateway.grpc.server import SERVICES, bind, make_server
from facegate.gateway.settings import MAX_BODY_BYTES
from facegate_client.transport.base import AsyncTransport
from facegate_client.transport.grpc import AsyncGrpcTransport
from support.memory_gallery import MemoryGallery

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class GrpcGateway:
    """A running server: host:port, what is behind it and what it counts."""

    address: str
    gallery: MemoryGallery
    loop: asyncio.AbstractEventLoop
    metrics: Metrics
    health: Health


@contextmanager
def grpc_gateway(
    triton: str | AsyncTransport, keys: Keys | None = None, timeout_s: float = TIMEOUT_S
) -> Iterator[GrpcGateway]:
    """On an event loop of its own, to Triton's gRPC at an address, or to any other transport."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    gallery, metrics, health = MemoryGallery(), Metrics(), Health(SERVICES)
    transport = AsyncGrpcTransport(triton) if isinstance(triton, str) else triton

    async def start() -> tuple[str, object]:
        door = DoorInterceptor(Door(keys, Limits(64, 64, None)), Calls(metrics), timeout_s)
        health.tell(True)
        server = make_server(
            FaceGateway(transport, gallery),
            [door],
            health,
            timeout_s=timeout_s,
            max_message_bytes=MAX_BODY_BYTES,
        )
        port = bind(server, "127.0.0.1:0", None)
        await server.start()
        return f"127.0.0.1:{port}", server

    async def stop(server) -> None:
        await server.stop(1)
        await transport.close()

    with capture_logs():
        address, server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        try:
            yield GrpcGateway(address, gallery, loop, metrics, health)
        finally:
            asyncio.run_coroutine_threadsafe(stop(server), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
