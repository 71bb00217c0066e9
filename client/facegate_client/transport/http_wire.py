"""KServe v2 over HTTP with the binary extension: what is sent, and what comes of a reply. Does no input or output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from facegate_client.errors import FaceGateError, ServerFault, Unreachable, from_status
from facegate_client.transport.base import Answer, Call, read_outputs, triton_inputs, unreachable

HEADER_LENGTH = "Inference-Header-Content-Length"
"""Where the JSON ends and the tensors begin, bytes."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`path` begins with a slash."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """`json_length` is None where the body is all JSON."""

    status: int
    body: bytes
    json_length: str | None


def infer_request(call: Call) -> HttpRequest:
    """The request for one inference."""
    body, json_length = triton.InferenceServerClient.generate_request_body(
        triton_inputs(triton.InferInput, call.inputs), parameters=dict(call.parameters)
    )
    headers = {} if json_length is None else {HEADER_LENGTH: str(json_length)}
    return HttpRequest("POST", f"/v2/models/{quote(call.model)}/infer", body, headers)


def ready_request(model: str) -> HttpRequest:
    """The question whether a model takes requests; status 200 says yes."""
    return HttpRequest("GET", f"/v2/models/{quote(model)}/ready")


def config_request(model: str) -> HttpRequest:
    """The request for a model's configuration."""
    return HttpRequest("GET", f"/v2/models/{quote(model)}/config")


def read_parameters(url: str, reply: HttpReply) -> dict[str, str]:
    """The parameters in a model's configuration; raises the FaceGateError that the reply is instead."""
    if reply.status != 200:
        raise _refusal(url, reply)
    try:
        parameters = json.loads(reply.body).get("parameters", {})
        return {name: str(value["string_value"]) for name, value in parameters.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ServerFault(f"the model's configuration cannot be read: {error}") from error


def read_answer(url: str, reply: HttpReply) -> Answer:
    """The answer of an inference; raises the FaceGateError that the reply is instead."""
    if reply.status != 200:
        raise _refusal(url, reply)
    try:
        result = triton.InferenceServerClient.parse_response_body(reply.body, header_length=reply.json_length)
        names = [output["name"] for output in result.get_response()["outputs"]]
    except (ValueError, TypeError, KeyError, InferenceServerException) as error:
        raise ServerFault(f"the answer cannot be read: {error}") from error
    return Answer(read_outputs(names, result))


def _refusal(url: str, reply: HttpReply) -> FaceGateError:
    try:
        message = str(json.loads(reply.body)["error"])
    except (ValueError, TypeError, KeyError):
        message = reply.body[:200].decode("utf-8", "replace").strip()
    error = from_status(str(reply.status), message)
    return unreachable(url, error) if isinstance(error, Unreachable) else error
