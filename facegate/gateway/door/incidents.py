"""Internal errors: a number for the caller, and where it happened for the log."""

from __future__ import annotations

import secrets
import traceback

import structlog

from facegate.gateway.door import request_id
from facegate.gateway.errors import Code, Failure, failure_of
from facegate_client.errors import FaceGateError

MAX_REASON = 300
"""Characters: an answer of something else than Triton may be repeated in it."""


def failure_for(error: Exception) -> Failure:
    """The failure that `error` stands for. An internal error is logged, and the caller gets its number alone.

    The log gets where it happened and what kind of error it is. It gets the text of a FaceGateError, which says what
    is wrong with Triton's answer, and no other error's: that may hold what the caller sent, an image or an embedding.
    """
    failure = failure_of(error)
    if failure is not None:
        return failure
    incident = secrets.token_hex(4)
    structlog.get_logger().error(
        "incident",
        incident=incident,
        request_id=request_id.current(),
        error=type(error).__name__,
        traceback="".join(traceback.format_tb(error.__traceback__)),
        **({"reason": str(error)[:MAX_REASON]} if isinstance(error, FaceGateError) else {}),
    )
    return Failure(Code.INTERNAL, f"internal error, incident {incident}")
