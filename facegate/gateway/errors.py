"""What can go wrong, once for every wire: a stable code, its gRPC status and its HTTP status.

Whatever is raised on the way to an answer becomes a `Failure` by `failure_of`, and each wire writes that down in its
own form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from grpc import StatusCode

from facegate_client import contract
from facegate_client.errors import (
    DeadlineExceeded,
    FaceGateError,
    InvalidRequest,
    LivenessUnavailable,
    NoFace,
    Overloaded,
    Unreachable,
)


class Code(Enum):
    """A failure's name on every wire, with its gRPC and its HTTP status."""

    INVALID_ARGUMENT = StatusCode.INVALID_ARGUMENT, 400
    UNAUTHENTICATED = StatusCode.UNAUTHENTICATED, 401
    PERMISSION_DENIED = StatusCode.PERMISSION_DENIED, 403  # a web page of somebody else
    NOT_FOUND = StatusCode.NOT_FOUND, 404
    METHOD_NOT_ALLOWED = StatusCode.UNIMPLEMENTED, 405
    FAILED_PRECONDITION = StatusCode.FAILED_PRECONDITION, 412
    PAYLOAD_TOO_LARGE = StatusCode.RESOURCE_EXHAUSTED, 413
    UNSUPPORTED_MEDIA_TYPE = StatusCode.INVALID_ARGUMENT, 415
    NOT_LIVE = StatusCode.INVALID_ARGUMENT, 422  # a face to be remembered was checked, and is fake
    RESOURCE_EXHAUSTED = StatusCode.RESOURCE_EXHAUSTED, 429
    INTERNAL = StatusCode.INTERNAL, 500
    UNAVAILABLE = StatusCode.UNAVAILABLE, 503
    DEADLINE_EXCEEDED = StatusCode.DEADLINE_EXCEEDED, 504

    def __init__(self, grpc: StatusCode, http: int) -> None:
        self.grpc = grpc
        self.http = http


@dataclass(frozen=True, slots=True)
class Violation:
    """Which part of a request is wrong, by FaceService's name for it ("image_1", "threshold"), and how."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. `retry_after_s`: how long to wait before asking again, where that would help."""

    code: Code
    message: str
    violations: tuple[Violation, ...] = ()
    retry_after_s: float | None = None


class GatewayError(Exception):
    """A failure that the gateway itself finds."""

    def __init__(self, code: Code, message: str, field: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        violations = () if field is None else (Violation(field, message),)
        self.failure = Failure(code, message, violations, retry_after_s)


RETRY_S = 1.0
"""For a server that is full, or away and watched: it is back within seconds."""


def invalid(field: str, message: str) -> GatewayError:
    """A part of the request is wrong."""
    return GatewayError(Code.INVALID_ARGUMENT, f"{field}: {message}", field)


def failure_of(error: Exception) -> Failure | None:
    """The failure that `error` stands for; None for an internal error, whose text is for the log alone."""
    if isinstance(error, GatewayError):
        return error.failure
    message = _TENSOR.sub("image", str(error))  # the callers of a gateway send no tensors
    if isinstance(error, InvalidRequest):
        return Failure(Code.INVALID_ARGUMENT, message, _violations(message))
    if isinstance(error, NoFace):
        return Failure(Code.NOT_FOUND, message, _violations(message))
    if isinstance(error, LivenessUnavailable):
        return Failure(Code.FAILED_PRECONDITION, message)
    if isinstance(error, Overloaded):
        stopping = message.startswith(contract.STOPPING_REASON)
        return Failure(Code.UNAVAILABLE if stopping else Code.RESOURCE_EXHAUSTED, message, retry_after_s=RETRY_S)
    if isinstance(error, Unreachable):
        return Failure(Code.UNAVAILABLE, "the inference server is not there; try again shortly", retry_after_s=RETRY_S)
    if isinstance(error, DeadlineExceeded):
        return Failure(Code.DEADLINE_EXCEEDED, "no answer within the deadline")
    if isinstance(error, FaceGateError) and _INCIDENT.search(message):
        return Failure(Code.INTERNAL, message)
    return None


_TENSOR = re.compile(r"^(?:IMAGE|FRAME|FRAME_SHAPE)(?=(?:_[12])?\b)")
_INCIDENT = re.compile(r"\bincident [0-9a-f]+$")
"""Triton's models have logged the error themselves, under this number."""

_NAMED = re.compile(
    r"^(?:image|frame)(?:[ _]([12]))?\b|\bno face in image(?: ([12]))?\b"
    r"|^parameter (\w+) |^(\w+): expected"
)


def _violations(message: str) -> tuple[Violation, ...]:
    """Triton's models and the client begin a message with what it is about."""
    named = _NAMED.search(message)
    if named is None:
        return ()
    number, without_face, parameter, argument = named.groups()
    field = parameter or argument or "image" + (f"_{number or without_face}" if number or without_face else "")
    return (Violation(field, message),)
