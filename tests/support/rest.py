"""The gateway's REST in this process, over a real socket."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import uvicorn

from facegate.gateway.assembly import SecurityHeaders
from facegate.gateway.faces import FaceGateway
from facegate.gateway.gallery import Gallery
from facegate.gateway.rest.app import create_app
from facegate.gateway.urls import UrlFetcher
from facegate_client.transport.base import AsyncTransport
from facegate_client.transport.grpc import AsyncGrpcTransport
from support.memory_gallery import MemoryGallery


@contextmanager
def rest(
    triton: str | AsyncTransport,
    *,
    gallery: Gallery | None = None,
    timeout_s: float = 10.0,
    urls: UrlFetcher | None = None,
) -> Iterator[httpx.Client]:
    """A client of REST on Triton's gRPC at an address, or on any other transport. The front door is not there."""
    transport = AsyncGrpcTransport(triton) if isinstance(triton, str) else triton
    app = create_app(FaceGateway(transport, gallery or MemoryGallery()), timeout_s=timeout_s, urls=urls)
    server = uvicorn.Server(uvicorn.Config(SecurityHeaders(app), log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio forgets it for such a socket
        port = listening.getsockname()[1]

        async def serve() -> None:
            await server.serve([listening])
            await transport.close()

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(30)


def in_base64(picture: Path | bytes) -> str:
    return base64.b64encode(picture if isinstance(picture, bytes) else picture.read_bytes()).decode()


def blank() -> bytes:
    """A PNG file without a face."""
    encoded, file = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))
    assert encoded
    return file.tobytes()


def refused(answer: httpx.Response, status: int, code: str, *fields: str) -> dict[str, Any]:
    """The error, which is this one and about these fields."""
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert [each["field"] for each in error.get("fields", ())] == list(fields), error
    assert error["message"]
    return error


def liveness_keys(answer: Any) -> list[str]:
    """Every key of a JSON value, however deep, that is about liveness."""
    if isinstance(answer, list):
        return [key for each in answer for key in liveness_keys(each)]
    if not isinstance(answer, dict):
        return []
    own = [key for key in answer if "real" in key or "spoof" in key or "live" in key]
    return own + [key for each in answer.values() for key in liveness_keys(each)]
