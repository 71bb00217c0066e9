"""The HTTP server: uvicorn with limits that it does not have, and without its own signals, log and headers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from facegate.gateway.tls_files import ServerTls


class OneWrite:
    """An asyncio.Transport that holds what is written until more is, or the event loop comes round."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held = b""

    def write(self, data: bytes) -> None:
        """See asyncio.WriteTransport."""
        held, self._held = self._held, b""
        if held:
            self._transport.write(held + data)
        elif data:
            self._held = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """See asyncio.BaseTransport: what was written is still sent."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)


MOST_HEAD_BYTES = 64 * 1024
"""Of a request's line and headers."""

HEAD_SECONDS = 10.0
"""How long a request's line and headers may take to come: the first's from the connection's beginning on."""

MAX_CONNECTIONS = 1000

HAS_KEY = "facegate_has_key"
"""In the `state` of a request's ASGI scope: set by the application for a request that carries a valid API key."""


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 with a deadline for a request's head and a limit on connections. An offered upgrade is ignored.

    Above `max_connections` the connection that has been idle longest is closed, of those that never carried a valid
    API key. Without such a connection the new one is closed. Idle: there is no request to answer, or the server waits
    for the client to read the answer or to stop sending the body of a refused request.
    """

    def __init__(self, *args: Any, max_connections: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._max_connections = max_connections
        self._too_late: asyncio.TimerHandle | None = None
        self._idle_since = self.loop.time()
        self._has_key = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, OneWrite(transport)))
        self._expect_head()
        if len(self.connections) > self._max_connections:
            others = cast("set[LimitedProtocol]", self.connections - {self})
            closable = [each for each in others if each.is_idle and not each.has_key]
            min(closable, key=lambda each: each._idle_since, default=self).abort()

    @property
    def is_idle(self) -> bool:
        """Whether the server waits for the client, and not the client for an answer."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or self.flow.write_paused:
            return True
        return cycle.response_started and cycle.more_body

    @property
    def has_key(self) -> bool:
        """Whether a request on this connection carried a valid API key."""
        return self._has_key or (self.scope is not None and HAS_KEY in self.scope["state"])

    def abort(self) -> None:
        """Close the connection without waiting for the client."""
        self.connections.discard(self)  # now: asyncio calls connection_lost in the loop's next round
        self.transport.abort()

    def on_response_complete(self) -> None:
        self._has_key = self.has_key  # the next request has a scope of its own
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._idle_since = self.loop.time()
        super().pause_writing()

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

    def __init__(
        self,
        app: Callable[..., Any],
        tls: ServerTls | None,
        drain_seconds: int,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=cast(type[asyncio.Protocol], partial(LimitedProtocol, max_connections=max_connections)),
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
