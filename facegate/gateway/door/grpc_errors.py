"""A failure as gRPC tells it: google.rpc.Status with what kind it is, which field is wrong and when to ask again."""

from __future__ import annotations

from typing import Any

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc.aio import ServicerContext
from grpc_status import rpc_status

from facegate.gateway.door.request_id import HEADER
from facegate.gateway.errors import Failure

DOMAIN = "facegate"

MOST_CHARACTERS = 500
"""Of a message, which may hold what the caller sent. A client takes 8 KiB of headers in all, status included."""


def status_of(failure: Failure, request_id: str) -> Status:
    """The failure with ErrorInfo (reason: the code's name), and BadRequest and RetryInfo where they say more.

    `request_id` is empty for a call that is not logged.
    """
    status = Status(code=failure.code.grpc.value[0], message=_short(failure.message))
    metadata = {"request_id": request_id} if request_id else {}
    _add(status, ErrorInfo(reason=failure.code.name, domain=DOMAIN, metadata=metadata))
    if failure.violations:
        violations = (
            BadRequest.FieldViolation(field=_short(each.field), description=_short(each.description))
            for each in failure.violations
        )
        _add(status, BadRequest(field_violations=violations))
    if failure.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(failure.retry_after_s * 1000))
        _add(status, RetryInfo(retry_delay=delay))
    return status


async def abort(context: ServicerContext, failure: Failure, request_id: str) -> None:
    """End the call with the failure: raises what gRPC ends it by."""
    told = rpc_status.to_status(status_of(failure, request_id))
    also = ((HEADER, request_id),) if request_id else ()
    await context.abort(told.code, told.details, (*told.trailing_metadata, *also))


def _add(status: Status, detail: Any) -> None:
    packed = Packed()
    packed.Pack(detail)
    status.details.append(packed)


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
