"""A KServe v2 server in this process, over gRPC and over HTTP, that keeps what it was sent and answers what it is told.

It is not Triton: it checks what the client puts on the wire, and gives answers that a sound server never gives.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import serialize_byte_tensor, triton_to_np_dtype

DATATYPES = {"bool": "BOOL", "float32": "FP32", "float64": "FP64", "int32": "INT32", "object": "BYTES"}
HEADER_LENGTH = "Inference-Header-Content-Length"
DIGEST = "0123456789abcdef" * 4

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sent:
    """An input as it came."""

    datatype: str
    shape: list[int]
    raw: bytes

    @property
    def values(self) -> np.ndarray:
        return np.frombuffer(self.raw, triton_to_np_dtype(self.datatype)).reshape(self.shape)

    @property
    def file(self) -> bytes:
        """The one element of a BYTES [1], without its four bytes of length."""
        assert self.datatype == "BYTES"
        assert int.from_bytes(self.raw[:4], "little") == len(self.raw) - 4
        return self.raw[4:]


@dataclass(frozen=True)
class Call:
    """A request as it came. A parameter has its type in front: ("double", 0.4)."""

    model: str
    inputs: dict[str, Sent]
    parameters: dict[str, tuple[str, Any]]


class Refusal(Exception):
    """Answer an error, as Triton would."""

    def __init__(self, grpc_code: grpc.StatusCode, http_status: int, message: str) -> None:
        super().__init__(message)
        self.grpc_code, self.http_status, self.message = grpc_code, http_status, message


@dataclass
class FakeTriton:
    """What to answer, and what came."""

    answer: Callable[[Call], Arrays]
    url: str = ""
    protocol: str = ""
    ready: set[str] = field(default_factory=lambda: {"face_verify", "face_analyze"})
    calls: list[Call] = field(default_factory=list)
    raw: dict[str, bytes] = field(default_factory=dict)  # an output's bytes instead of its own
    connections: set[Any] = field(default_factory=set)
    release: threading.Event = field(default_factory=threading.Event)

    def take(self, call: Call) -> Arrays:
        self.calls.append(call)
        return self.answer(call)


@contextmanager
def serve(protocol: str, answer: Callable[[Call], Arrays], port: int = 0) -> Iterator[FakeTriton]:
    """A fake on a port of this machine, a free one unless told, for as long as the block lasts."""
    fake = FakeTriton(answer, url=f"127.0.0.1:{port}", protocol=protocol)
    with (_serve_grpc if protocol == "grpc" else _serve_http)(fake):
        try:
            yield fake
        finally:
            fake.release.set()


@contextmanager
def _serve_grpc(fake: FakeTriton) -> Iterator[None]:
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Servicer(fake), server)
    fake.url = f"127.0.0.1:{server.add_insecure_port(fake.url)}"
    server.start()
    try:
        yield
    finally:
        fake.release.set()
        server.stop(0).wait()


class _Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, fake: FakeTriton) -> None:
        self._fake = fake

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        return service_pb2.ModelReadyResponse(ready=request.name in self._fake.ready)

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._fake.connections.add(context.peer())
        inputs = {
            tensor.name: Sent(tensor.datatype, list(tensor.shape), raw)
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        parameters = {}
        for name, value in request.parameters.items():
            kind = value.WhichOneof("parameter_choice")
            parameters[name] = (kind.removesuffix("_param"), getattr(value, kind))
        try:
            outputs = self._fake.take(Call(request.model_name, inputs, parameters))
        except Refusal as refusal:
            context.abort(refusal.grpc_code, refusal.message)
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        for name, values in outputs.items():
            response.outputs.add(name=name, datatype=DATATYPES[str(values.dtype)], shape=values.shape)
            response.raw_output_contents.append(self._fake.raw.get(name, _raw(values)))
        return response


@contextmanager
def _serve_http(fake: FakeTriton) -> Iterator[None]:
    class Handler(_Handler):
        triton = fake
        open_connections: ClassVar[list[socket.socket]] = []

        def setup(self) -> None:
            super().setup()
            self.open_connections.append(self.connection)

    server = _HttpServer(("127.0.0.1", int(fake.url.split(":")[1])), Handler)
    fake.url = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        fake.release.set()
        server.shutdown()
        thread.join()
        for connection in Handler.open_connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        server.server_close()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # of 5, the kernel drops some of fifty connections at once, for seconds


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    triton: FakeTriton

    def do_GET(self) -> None:
        model = self.path.split("/")[-2]
        self._reply(200 if model in self.triton.ready else 400, b"")

    def do_POST(self) -> None:
        self.triton.connections.add(self.client_address)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        split = int(self.headers[HEADER_LENGTH])
        request, rest = json.loads(body[:split]), body[split:]
        inputs = {}
        for tensor in request["inputs"]:
            size = tensor["parameters"]["binary_data_size"]
            inputs[tensor["name"]] = Sent(tensor["datatype"], tensor["shape"], rest[:size])
            rest = rest[size:]
        assert not rest
        kinds = {bool: "bool", int: "int64", float: "double", str: "string"}
        parameters = {name: (kinds[type(value)], value) for name, value in request["parameters"].items()}
        assert parameters.pop("binary_data_output") == ("bool", True)
        try:
            outputs = self.triton.take(Call(self.path.split("/")[-2], inputs, parameters))
        except Refusal as refusal:
            self._reply(refusal.http_status, json.dumps({"error": refusal.message}).encode())
            return
        raw = {name: self.triton.raw.get(name, _raw(values)) for name, values in outputs.items()}
        described = [
            {
                "name": name,
                "datatype": DATATYPES[str(values.dtype)],
                "shape": list(values.shape),
                "parameters": {"binary_data_size": len(raw[name])},
            }
            for name, values in outputs.items()
        ]
        head = json.dumps({"outputs": described}).encode()
        self._reply(200, head + b"".join(raw.values()), len(head))

    def _reply(self, status: int, body: bytes, json_length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if json_length is not None:
            self.send_header(HEADER_LENGTH, str(json_length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def _raw(values: np.ndarray) -> bytes:
    if values.dtype == object:
        return serialize_byte_tensor(values).item() if values.size else b""
    return values.tobytes()


def texts(*values: str) -> np.ndarray:
    """A BYTES tensor."""
    return np.array([value.encode() for value in values], object)


def model(**changed: Any) -> np.ndarray:
    """A sound MODEL; `changed` replaces a field, or takes it out with None."""
    fields = {"pack": "mobileface", "licence": "MIT", "commercial_use": True, "digest": DIGEST, "embedding_digest": "e"}
    fields |= {"precision": "fp32", "threshold": 0.4, **changed}
    return texts(json.dumps({name: value for name, value in fields.items() if value is not None}))


def verify_answer(*, liveness: tuple[bool, float, bool, float] | None = None, **changed: Any) -> Arrays:
    """A sound answer of face_verify; `changed` replaces an output, or takes it out with None."""
    fp32 = np.float32
    outputs: dict[str, Any] = {
        "VERIFIED": np.array([True]),
        "DISTANCE": np.array([0.25], fp32),
        "THRESHOLD": np.array([0.5], fp32),
        "CONFIDENCE": np.array([50], fp32),
        "BOX_1": np.array([1, 2, 3, 4], fp32),
        "BOX_2": np.array([5, 6, 7, 8], fp32),
        "PROCESSING_TIME_MS": np.array([12.5], fp32),
        "MODEL": model(),
    }
    if liveness:
        outputs |= {
            "IS_REAL_1": np.array([liveness[0]]),
            "ANTISPOOF_SCORE_1": np.array([liveness[1]], fp32),
            "IS_REAL_2": np.array([liveness[2]]),
            "ANTISPOOF_SCORE_2": np.array([liveness[3]], fp32),
        }
    return {name: values for name, values in (outputs | changed).items() if values is not None}


def analyze_answer(
    count: int,
    *,
    embeddings: bool = True,
    liveness: bool = False,
    errors: list[str] | None = None,
    **changed: Any,
) -> Arrays:
    """A sound answer of face_analyze; every second face is fake."""
    fp32 = np.float32
    outputs: dict[str, Any] = {
        "BOXES": np.arange(count * 4, dtype=fp32).reshape(count, 4),
        "SCORES": np.linspace(0.9, 0.5, count, dtype=fp32),
        "LANDMARKS": np.arange(count * 10, dtype=fp32).reshape(count, 5, 2),
        "MODEL": model(),
    }
    if errors is not None:
        outputs["FACE_ERRORS"] = texts(*errors)
    if embeddings:
        outputs["EMBEDDINGS"] = np.eye(count, 8, dtype=fp32)
    if liveness:
        outputs["IS_REAL"] = np.arange(count) % 2 == 0
        outputs["ANTISPOOF_SCORE"] = np.where(outputs["IS_REAL"], 0.98, 0.01).astype(fp32)
    return {name: values for name, values in (outputs | changed).items() if values is not None}
