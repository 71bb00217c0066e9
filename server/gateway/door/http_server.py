"""The HTTP server: uvicorn with limits that it does not have, and without its own signals, log and headers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.gateway.settings import ServerTls

MOST_HEAD_BYTES = 64 * 1024
"""Of a request's line and headers, as h11 has it; httptools takes any number."""

HEAD_SECONDS = 10.0
"""How long a request's line and headers may take to come, from the connection's beginning on."""

MOST_CONNECTIONS = 1000


class LimitedProtocol(HttpToolsProtocol):
    """Closes connections that send no head, or one without an end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes: int | None = None  # None between a head's end and the next one's beginning
        self._too_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_bytes is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._has_head()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._too_late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _has_head(self) -> None:
        self._head_bytes = None
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None


class HttpServer(uvicorn.Server):
    """Serves on a socket that is bound already, until `should_exit` is set."""

    def __init__(self, app: Callable[..., Any], tls: ServerTls | None, drain_seconds: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=LimitedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=drain_seconds,
                ssl_context_factory=None if tls is None else lambda config, default: _context(tls),
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process has its own."""
        yield

    async def begin(self, listening: socket.socket) -> asyncio.Task[None]:
        """Serve; the task ends with the server."""
        serving = asyncio.ensure_future(self.serve(sockets=[listening]))
        while not self.started and not serving.done():
            await asyncio.sleep(0.01)
        return serving


def _context(tls: ServerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.client_ca is not None:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
