"""How a gRPC call of the gateway was refused."""

from __future__ import annotations

from typing import Any, NamedTuple

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status


class Refusal(NamedTuple):
    """The status, ErrorInfo's reason, and the fields that are at fault."""

    code: grpc.StatusCode
    reason: str
    fields: list[str]


def refusal(call: Any, request: Any) -> Refusal:
    """The refusal that the call ends with; whoever is to come back later is told when."""
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=30)
    return refusal_in(rpc_status.from_call(raised.value))


def refusal_in(status: Any) -> Refusal:
    """The refusal that a google.rpc.Status tells."""
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "facegate"
    assert info.metadata["request_id"]
    assert status.message
    assert "\n" not in status.message
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    fields = [violation.field for detail in status.details if detail.Unpack(bad) for violation in bad.field_violations]
    waits = [retry.retry_delay.ToTimedelta().total_seconds() for detail in status.details if detail.Unpack(retry)]
    assert all(wait > 0 for wait in waits)
    assert bool(waits) == (info.reason in ("RESOURCE_EXHAUSTED", "UNAVAILABLE"))
    return Refusal(code, info.reason, fields)
