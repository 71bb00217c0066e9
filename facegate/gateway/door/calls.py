"""The one place that times, counts and logs a call, whichever wire it came by."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import structlog

from facegate.gateway.door import request_id
from facegate.gateway.door.metrics import Metrics
from facegate.gateway.errors import Code, Failure
from facegate_ensemble.stage_timers import TOTAL, measured

OK, CANCELLED = "OK", "CANCELLED"

_QUIET = {Code.INTERNAL.name, Code.UNAVAILABLE.name}
"""Whose messages are the gateway's or Triton's own words, and may be logged; others may repeat what a caller sent."""

_NO_ACCESS = {Code.UNAUTHENTICATED.name, Code.PERMISSION_DENIED.name}
"""Logged with the caller's address: an operator looks for whoever tries keys."""


@dataclass(slots=True)
class Call:
    """What becomes known about a call while it is answered. `findings` are counts and verdicts of the nets."""

    wire: str
    method: str
    address: str
    _metrics: Metrics = field(repr=False)
    caller: str = ""
    code: str = OK
    reason: str = ""
    bytes_in: int = 0
    messages: int = 0
    findings: dict[str, int] = field(default_factory=dict)

    def failed(self, failure: Failure) -> None:
        """Why there is no answer."""
        self.code = failure.code.name
        if self.code in _QUIET:
            self.reason = failure.message

    def message_came(self) -> None:
        """On a stream."""
        self.messages += 1
        self._metrics.messages.inc()  # now: a camera's stream may last for days

    def message_failed(self, failure: Failure) -> None:
        """A stream's message is answered with an error, and the stream goes on."""
        self.found("errors", 1)
        self._metrics.stream_errors.labels(failure.code.name).inc()

    def found(self, name: str, count: int) -> None:
        """Add to a finding."""
        self.findings[name] = self.findings.get(name, 0) + count


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def current() -> Call | None:
    """The call that this task works for."""
    return _current.get()


class Calls:
    """Logs calls and adds them to `metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger()

    @contextmanager
    def begun(self, wire: str, method: str, address: str) -> Iterator[Call]:
        """One call, from its arrival to its answer; `method` is a name of ours, never a caller's word.

        `address` is the IP address that the call comes from, which is logged where access is refused.
        """
        call = Call(wire, method, address, self._metrics)
        token, seconds = _current.set(call), {TOTAL: 0.0}
        started = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            with measured() as seconds:
                yield call
        except BaseException:  # a cancelled task: nobody waits for the answer
            call.code = CANCELLED if call.code == OK else call.code
            raise
        finally:
            _current.reset(token)
            self._metrics.in_flight.dec()
            self._count(call, seconds, time.perf_counter() - started)

    def _count(self, call: Call, seconds: dict[str, float], total: float) -> None:
        metrics = self._metrics
        metrics.requests.labels(call.wire, call.method, call.code).inc()
        metrics.seconds.labels(call.wire, call.method).observe(total)
        metrics.bytes_in.labels(call.wire).inc(call.bytes_in)
        stages = {name: spent for name, spent in seconds.items() if name != TOTAL}
        for name, spent in stages.items():
            metrics.stages.labels(name).observe(spent)
        address = call.address if call.code in _NO_ACCESS else ""
        said = {"caller": call.caller, "address": address, "reason": call.reason, "messages": call.messages}
        self._log.info(
            "call",
            request_id=request_id.current(),
            wire=call.wire,
            method=call.method,
            code=call.code,
            seconds=round(total, 6),
            bytes_in=call.bytes_in,
            **{name: value for name, value in said.items() if value},
            **{f"{name}_seconds": round(spent, 6) for name, spent in stages.items()},
            **call.findings,
        )
