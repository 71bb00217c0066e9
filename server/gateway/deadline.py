"""How long an answer may take."""

from __future__ import annotations

from grpc.aio import ServicerContext

_LEAST_S = 0.001  # a deadline that has just passed; 0 would be taken for none


def seconds_for(context: ServicerContext, timeout_s: float) -> float:
    """Seconds until the caller of this gRPC call gives up, at most `timeout_s`."""
    left: float | None = context.time_remaining()
    return timeout_s if left is None else min(max(left, _LEAST_S), timeout_s)
