"""Requests and answers as any KServe client sees them, over gRPC, HTTP and a gRPC stream."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

TRANSPORTS = ("grpc", "http", "stream")

STATUS = {
    "INVALID_ARGUMENT": {"grpc": "StatusCode.INVALID_ARGUMENT", "http": "400", "stream": None},
    "NOT_FOUND": {"grpc": "StatusCode.NOT_FOUND", "http": "404", "stream": None},
    "FAILED_PRECONDITION": {"grpc": "StatusCode.UNIMPLEMENTED", "http": "501", "stream": None},
    "RESOURCE_EXHAUSTED": {"grpc": "StatusCode.UNAVAILABLE", "http": "503", "stream": None},
    "INTERNAL": {"grpc": "StatusCode.INTERNAL", "http": "500", "stream": None},
}
"""The error table's rows: the code a message begins with, and the status it comes with."""


@dataclass(frozen=True)
class Answer:
    """Outputs by name, or the status and message of a refusal. A stream carries no status."""

    outputs: dict[str, NDArray[Any]]
    status: str | None = None
    message: str | None = None


def refused(answer: Answer, transport: str, code: str) -> bool:
    """Whether the answer is this row of the error table, and nothing besides."""
    return (answer.status, (answer.message or "").split(":")[0], answer.outputs) == (STATUS[code][transport], code, {})


def encoded(name: str, data: bytes | Path) -> tuple[str, NDArray[Any]]:
    content = data if isinstance(data, bytes) else data.read_bytes()
    return name, np.array([content], dtype=object)


def infer(
    transport: str,
    address: str,
    model: str,
    tensors: Sequence[tuple[str, NDArray[Any]]],
    only: Sequence[str] = (),
    **parameters: Any,
) -> Answer:
    """One request by the plain tritonclient; `only` these outputs, where given."""
    module = tritonclient.http if transport == "http" else tritonclient.grpc
    inputs = []
    for name, values in tensors:
        tensor = module.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
        tensor.set_data_from_numpy(values)
        inputs.append(tensor)
    wanted = [module.InferRequestedOutput(name) for name in only] or None
    with module.InferenceServerClient(address) as client:
        try:
            if transport == "stream":
                result = _streamed(client, model, inputs, outputs=wanted, parameters=parameters)
            else:
                result = client.infer(model, inputs, outputs=wanted, parameters=parameters)
        except InferenceServerException as error:
            return Answer({}, error.status(), error.message())
    if transport == "http":
        names = [output["name"] for output in result.get_response().get("outputs", [])]
    else:
        names = [output.name for output in result.get_response().outputs]
    return Answer({name: result.as_numpy(name) for name in names})


def _streamed(client: Any, model: str, inputs: Sequence[Any], **options: Any) -> Any:
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: answers.put(error or result))
    client.async_stream_infer(model, inputs, **options)
    answer = answers.get(timeout=30)
    client.stop_stream()
    if isinstance(answer, Exception):
        raise answer
    return answer
