"""The HTTP transport: a kept-open connection for each thread.

tritonclient writes and reads the bodies; the connections are the standard library's, since tritonclient's own HTTP
client is bound to one thread, cannot be closed from another, and bounds each read rather than the whole call.
"""

from __future__ import annotations

import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from socket import socket
from weakref import WeakSet

from facegate_client.transport.base import Answer, Call, too_late, unreachable
from facegate_client.transport.http_wire import (
    HEADER_LENGTH,
    HttpReply,
    HttpRequest,
    infer_request,
    read_answer,
    ready_request,
)

_CHUNK = 1 << 16


class HttpTransport:
    """Thread-safe; make it after a fork, not before. Raises FaceGateErrors."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._address, _, base = url.partition("/")
        self._base = f"/{base}".rstrip("/")
        self._of_thread = threading.local()
        self._connections: WeakSet[_Connection] = WeakSet()  # a thread's connection ends with the thread
        self._lock = threading.Lock()

    def infer(self, call: Call, timeout_s: float) -> Answer:
        """See Transport."""
        return read_answer(self._url, self._exchange(infer_request(call), timeout_s))

    def is_model_ready(self, model: str, timeout_s: float) -> bool:
        """See Transport."""
        return self._exchange(ready_request(model), timeout_s).status == 200

    def close(self) -> None:
        """See Transport."""
        with self._lock:
            for connection in self._connections:
                connection.close()

    def _exchange(self, request: HttpRequest, timeout_s: float) -> HttpReply:
        try:
            return self._connection().exchange(request, time.monotonic() + timeout_s)
        except TimeoutError as error:
            raise too_late(self._url, timeout_s) from error
        except (OSError, HTTPException) as error:
            raise unreachable(self._url, getattr(error, "strerror", None) or error or type(error).__name__) from error

    def _connection(self) -> _Connection:
        connection: _Connection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = _Connection(self._address, self._base)
            with self._lock:
                self._connections.add(connection)
        return connection


class _Connection:
    """One thread's connection, opened when needed. Raises TimeoutError, OSError, HTTPException, and is closed then."""

    def __init__(self, address: str, base: str) -> None:
        self._address = address
        self._base = base
        self._http: HTTPConnection | None = None

    def exchange(self, request: HttpRequest, deadline: float) -> HttpReply:
        """Sends the request and reads all of its reply before `deadline`, seconds on the monotonic clock."""
        try:
            response, sock = self._send(request, deadline)
            body = _read(response, sock, deadline)
        except BaseException:
            self.close()  # the rest of this reply must not be read as the next one
            raise
        return HttpReply(response.status, body, response.getheader(HEADER_LENGTH))

    def close(self) -> None:
        """Closes the connection; the next exchange opens another."""
        http, self._http = self._http, None
        if http is not None:
            http.close()

    def __del__(self) -> None:
        self.close()  # its thread has ended

    def _send(self, request: HttpRequest, deadline: float) -> tuple[HTTPResponse, socket]:
        if self._http is not None and self._http.sock is not None:
            try:
                return self._send_on(self._http, self._http.sock, request, deadline)
            except (ConnectionError, HTTPException):
                self.close()  # the server closed it while it was idle; an inference is safe to repeat
        self._http = HTTPConnection(self._address, timeout=_left(deadline))
        self._http.connect()
        return self._send_on(self._http, self._http.sock, request, deadline)

    def _send_on(
        self, http: HTTPConnection, sock: socket, request: HttpRequest, deadline: float
    ) -> tuple[HTTPResponse, socket]:
        sock.settimeout(_left(deadline))
        http.request(request.method, self._base + request.path, request.body, dict(request.headers))
        sock.settimeout(_left(deadline))
        return http.getresponse(), sock


def _read(response: HTTPResponse, sock: socket, deadline: float) -> bytes:
    parts = []
    while True:
        sock.settimeout(_left(deadline))
        part = response.read1(_CHUNK)
        if not part:
            break
        parts.append(part)
    if response.length:  # read1 takes an early end for the end
        raise IncompleteRead(b"", response.length)
    response.close()  # which read1 leaves undone; without it the connection takes no second request
    return b"".join(parts)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
