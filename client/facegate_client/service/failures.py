"""From a call that FaceService refused to the exception that a caller can catch."""

from __future__ import annotations

from typing import Any

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from facegate_client.errors import (
    BadImage,
    DeadlineExceeded,
    FaceGateError,
    InvalidRequest,
    LivenessUnavailable,
    NoFace,
    NoSuchPerson,
    NotAuthenticated,
    NotLive,
    Overloaded,
    ServerFault,
    Unreachable,
    from_status,
)
from facegate_client.transport.base import too_late, unreachable

_DOMAIN = "facegate"

_OF_REASON: dict[str, type[FaceGateError]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "UNAUTHENTICATED": NotAuthenticated,
    "NOT_FOUND": NoSuchPerson,
    "FAILED_PRECONDITION": LivenessUnavailable,
    "PAYLOAD_TOO_LARGE": InvalidRequest,
    "NOT_LIVE": NotLive,
    "RESOURCE_EXHAUSTED": Overloaded,
    "INTERNAL": ServerFault,
    "UNAVAILABLE": Unreachable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
}
"""By ErrorInfo's reason. A NOT_FOUND or INVALID_ARGUMENT about an image is a NoFace or BadImage."""

_OF_IMAGE: dict[type[FaceGateError], type[FaceGateError]] = {NoSuchPerson: NoFace, InvalidRequest: BadImage}


def of_call(error: Any, url: str, timeout_s: float | None) -> FaceGateError:
    """For a grpc.RpcError of a call to `url` that was to take at most `timeout_s`, None for any time."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # details that contradict the status: not FaceService's
        status = None
    if status is not None:
        return of_status(status)
    if timeout_s is not None and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return too_late(url, timeout_s)
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:  # by gRPC: the gateway has each method of ours
        told = error.details() or "UNIMPLEMENTED"
        return Unreachable(f"no FaceService is at {url} ({told}); a gateway's gRPC is on port 50051 unless moved")
    mapped = from_status(error.code().name, error.details() or "")
    return unreachable(url, mapped) if isinstance(mapped, Unreachable) else mapped


def of_status(status: Status) -> FaceGateError:
    """For a refusal that says why, alone or in a stream's answer."""
    info, bad_request = ErrorInfo(), BadRequest()
    fields = []
    for detail in status.details:
        if not detail.Unpack(info) and detail.Unpack(bad_request):
            fields += [violation.field for violation in bad_request.field_violations]
    if info.domain != _DOMAIN or info.reason not in _OF_REASON:
        return ServerFault(f"refused for a reason that this client does not know: {status.message[:200]}")
    kind = _OF_REASON[info.reason]
    if any(field.startswith("image") for field in fields):
        kind = _OF_IMAGE.get(kind, kind)
    failure = kind(status.message)
    failure.request_id = info.metadata.get("request_id") or None
    return failure
