"""The HTTP server: uvicorn with limits that it does not have, and without its own signals, log and headers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.gateway.door.one_write import OneWrite
from server.gateway.settings import ServerTls

MOST_HEAD_BYTES = 64 * 1024
"""Of a request's line and headers."""

HEAD_SECONDS = 10.0
"""How long a request's line and headers may take to come: the first's from the connection's beginning on."""

MOST_CONNECTIONS = 1000


class LimitedProtocol(H11Protocol):
    """Closes connections on which no head comes, or none with an end. Nobody is upgraded to another protocol: who
    offers to speak one, as curl --http2 does, is answered in HTTP/1.1."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._too_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, OneWrite(transport)))
        self._expect_head()
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._has_head()
        elif self._too_late is None and self.conn.trailing_data[0]:
            self._expect_head()

    def send_400_response(self, msg: str) -> None:
        """For what is not HTTP; where an answer is under way already it is broken off."""
        if self.cycle is not None:
            self.cycle.disconnected = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _should_upgrade(self) -> bool:
        return False

    def _expect_head(self) -> None:
        self._too_late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _has_head(self) -> None:
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
                h11_max_incomplete_event_size=MOST_HEAD_BYTES,
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
