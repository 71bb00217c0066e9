"""Faults of ours: a number for the caller, and the way to the fault for the log."""

from __future__ import annotations

import secrets
import traceback

import structlog

from server.gateway.door import request_id
from server.gateway.errors import Code, Failure, failure_of


def failure_for(error: Exception) -> Failure:
    """The failure that `error` stands for. A fault of ours is logged, and its number is all that the caller is told.

    The log gets where it happened and what kind of error it is, never the error's own text: that may hold what the
    caller sent, an image or an embedding.
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
    )
    return Failure(Code.INTERNAL, f"internal error, incident {incident}")
