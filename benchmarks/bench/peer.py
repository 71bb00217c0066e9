"""What the ways to judge two pictures have in common, so that they can take turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import numpy as np

from facegate.errors import ServeError

MESSAGE_BYTES = 64 * 1024 * 1024

Pair = tuple[bytes, bytes]
"""Two encoded pictures."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """On two pictures; `distance` is cosine."""

    verified: bool
    is_real: tuple[bool, bool]
    distance: float

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Verdict:
        """The verdict that dataclasses.asdict and JSON have made `told` of."""
        first, second = told["is_real"]
        return cls(told["verified"], (first, second), told["distance"])

    def agrees(self, other: Verdict) -> bool:
        """Whether both say the same of the person and of both faces."""
        return (self.verified, self.is_real) == (other.verified, other.is_real)


class Way(Protocol):
    """A way to judge two pictures. What a call answers is read later, when no time is taken."""

    def prepared(self, pair: Pair) -> Callable[[], bytes]:
        """The call for two pictures, prepared as far as it can be."""
        ...

    def read(self, answer: bytes) -> Verdict:
        """What an answer says."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """Calls without a pause: answers a second, and the median of a call in ms."""

    per_second: float
    p50_ms: float


def turn(way: Way, pair: Pair, *, callers: int, seconds: float, expected: Verdict) -> Turn:
    """Let so many callers call, each at least once and none anew after `seconds`.

    Raises what a call raises, and ServeError where an answer says something else than `expected`.
    """
    call = way.prepared(pair)
    times: list[float] = []
    answers: list[bytes] = []
    lock = threading.Lock()
    began = time.perf_counter()

    def caller() -> None:
        while True:
            sent = time.perf_counter()
            answer = call()
            now = time.perf_counter()
            with lock:
                times.append(now - sent)
                answers.append(answer)
            if now - began >= seconds:
                return

    with ThreadPoolExecutor(callers) as pool:
        for done in [pool.submit(caller) for _ in range(callers)]:
            done.result()
    elapsed = time.perf_counter() - began
    if others := [said for said in map(way.read, answers) if not said.agrees(expected)]:
        raise ServeError(f"{len(others)} of {len(answers)} answers are not {expected}: {others[0]}")
    return Turn(len(times) / elapsed, float(np.median(times)) * 1e3)


@contextmanager
def raw_calls(address: str, method: str) -> Iterator[Callable[[bytes], bytes]]:
    """A gRPC method whose messages are bytes already: nothing is serialised while time is taken. An error that is
    answered is a ServeError."""
    limits = [("grpc.max_send_message_length", MESSAGE_BYTES), ("grpc.max_receive_message_length", MESSAGE_BYTES)]
    with grpc.insecure_channel(address, options=limits) as channel:
        ask = channel.unary_unary(method)

        def call(message: bytes) -> bytes:
            try:
                answer: bytes = ask(message)
            except grpc.RpcError as error:
                raise ServeError(f"{method} at {address} failed: {error.details()}") from None
            return answer

        yield call
