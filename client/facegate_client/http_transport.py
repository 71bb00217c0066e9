"""The HTTP transport: a kept-open connection for each thread.

tritonclient writes and reads the bodies; the connections are the standard library's, since tritonclient's own HTTP
client is bound to one thread, cannot be closed from another, and bounds each read rather than the whole call.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from socket import socket
from urllib.parse import quote
from weakref import WeakSet

import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from facegate_client.errors import FaceGateError, ServerFault, Unreachable, from_status
from facegate_client.transport import Outputs, Parameter, Tensor, read_outputs, too_late, triton_inputs, unreachable

# KServe's binary extension: where the JSON ends and the tensors begin, bytes.
HEADER_LENGTH = "Inference-Header-Content-Length"
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    deadline: float  # on the monotonic clock, s


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    json_length: str | None  # None where the body is all JSON


class HttpTransport:
    """Thread-safe; make it after a fork, not before. Raises FaceGateErrors."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._address, _, base = url.partition("/")
        self._base = f"/{base}/".replace("//", "/")
        self._of_thread = threading.local()
        self._connections: WeakSet[_Connection] = WeakSet()  # a thread's connection ends with the thread
        self._lock = threading.Lock()

    def infer(self, model: str, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]) -> Outputs:
        """See Transport."""
        body, json_length = triton.InferenceServerClient.generate_request_body(
            triton_inputs(triton.InferInput, inputs), parameters=dict(parameters)
        )
        headers = {} if json_length is None else {HEADER_LENGTH: str(json_length)}
        answer = self._exchange("POST", f"v2/models/{quote(model)}/infer", body, headers)
        if answer.status != 200:
            raise self._refusal(answer)
        try:
            result = triton.InferenceServerClient.parse_response_body(answer.body, header_length=answer.json_length)
            names = [output["name"] for output in result.get_response()["outputs"]]
        except (ValueError, TypeError, KeyError, InferenceServerException) as error:
            raise ServerFault(f"the answer cannot be read: {error}") from error
        return read_outputs(names, result)

    def is_model_ready(self, model: str) -> bool:
        """See Transport."""
        return self._exchange("GET", f"v2/models/{quote(model)}/ready", b"", {}).status == 200

    def close(self) -> None:
        """See Transport."""
        with self._lock:
            for connection in self._connections:
                connection.close()

    def _exchange(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> _Answer:
        connection = self._connection()
        try:
            return connection.exchange(
                _Call(method, self._base + path, body, headers, time.monotonic() + self._timeout_s)
            )
        except TimeoutError as error:
            raise too_late(self._url, self._timeout_s) from error
        except (OSError, HTTPException) as error:
            raise unreachable(self._url, getattr(error, "strerror", None) or error or type(error).__name__) from error

    def _connection(self) -> _Connection:
        connection: _Connection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = _Connection(self._address)
            with self._lock:
                self._connections.add(connection)
        return connection

    def _refusal(self, answer: _Answer) -> FaceGateError:
        try:
            message = str(json.loads(answer.body)["error"])
        except (ValueError, TypeError, KeyError):
            message = answer.body[:200].decode("utf-8", "replace").strip()
        error = from_status(str(answer.status), message)
        return unreachable(self._url, error) if isinstance(error, Unreachable) else error


class _Connection:
    """One thread's connection, opened when needed. Raises TimeoutError, OSError, HTTPException, and is closed then."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._http: HTTPConnection | None = None

    def exchange(self, call: _Call) -> _Answer:
        """Sends the call and reads all of its answer before the deadline."""
        try:
            response, sock = self._send(call)
            body = _read(response, sock, call.deadline)
        except BaseException:
            self.close()  # the rest of this answer must not be read as the next one
            raise
        return _Answer(response.status, body, response.getheader(HEADER_LENGTH))

    def close(self) -> None:
        """Closes the connection; the next exchange opens another."""
        http, self._http = self._http, None
        if http is not None:
            http.close()

    def __del__(self) -> None:
        self.close()  # its thread has ended

    def _send(self, call: _Call) -> tuple[HTTPResponse, socket]:
        if self._http is not None and self._http.sock is not None:
            try:
                return _send_on(self._http, self._http.sock, call)
            except (ConnectionError, HTTPException):
                self.close()  # the server closed it while it was idle; an inference is safe to repeat
        self._http = HTTPConnection(self._address, timeout=_left(call.deadline))
        self._http.connect()
        return _send_on(self._http, self._http.sock, call)


def _send_on(http: HTTPConnection, sock: socket, call: _Call) -> tuple[HTTPResponse, socket]:
    sock.settimeout(_left(call.deadline))
    http.request(call.method, call.path, call.body, dict(call.headers))
    sock.settimeout(_left(call.deadline))
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
