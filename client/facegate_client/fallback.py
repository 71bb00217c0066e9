"""A server, and this process's own nets for as long as it does not answer.

What the server's failure leads to:

| the server                       | asked again | then                                                                |
|----------------------------------|-------------|---------------------------------------------------------------------|
| Unreachable                      | twice       | local                                                               |
| DeadlineExceeded                 | no          | local: it had its share of the call's time, and may be at it still  |
| Overloaded, as it is stopping    | no          | local                                                               |
| Overloaded                       | no          | raised: it is healthy, and full by its operator's limit, which is   |
|                                  |             | not to be gone round; it let the call queue, and asking again would |
|                                  |             | make it fuller                                                      |
| LivenessUnavailable              | no          | raised: who serves without liveness is not overruled in silence     |
| ServerFault                      | no          | raised: a fault must be seen, and what broke the server may break   |
|                                  |             | this process too                                                    |
| InvalidRequest, BadImage, NoFace | no          | raised: they are answers                                            |
| FaceGateError of no closer kind  | no          | raised: a refusal, such as a proxy's                                |

A call that is answered locally has opened the breaker (facegate_client.breaker) or found it open: then the server is
not asked. A black picture, sent in the background, finds out when it is back; Triton's own readiness does not, as it
is kept up by a server that hangs or is stopping. One line is logged when this process takes over and one when the
server is back.

An answer of this process stands for the server's only where both have the same nets. Before the server has ever
answered, that is the operator's word. From the first answer on that carries another digest than the local pack's,
or none, nothing is answered locally any more.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from importlib.metadata import entry_points
from os import PathLike
from typing import Any, Protocol

import numpy as np
from tenacity import (
    AsyncRetrying,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from facegate_client import contract
from facegate_client.answers import read_model
from facegate_client.breaker import Breaker, Turn, Way
from facegate_client.errors import DeadlineExceeded, FaceGateError, NoFace, Overloaded, ServerFault, Unreachable
from facegate_client.requests import analysis, verification
from facegate_client.results import Model
from facegate_client.transport.base import Answer, AsyncTransport, Call, Regions, Transport

SERVER_SHARE = 0.5
"""Of a call's time, for the server; the rest is the local nets', which need it on a small machine."""

ATTEMPTS = 3
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 0.5
"""Full jitter: each wait is random, up to a bound that doubles."""

PLUGINS = "facegate_client.fallback"
"""The group of the entry point that opens models in this process. The package `facegate` registers one."""

PROBE_S = 2.0
_BLACK = np.zeros((64, 64, 3), np.uint8)
_PROBES = (
    analysis(_BLACK, anti_spoofing=False, embeddings=False, min_score=None, max_faces=None, faces=None).call,
    verification(_BLACK, _BLACK, threshold=None, anti_spoofing=False).call,
)

_log = logging.getLogger("facegate_client")


class Nets(Protocol):
    """Nets in this process, for any number of threads."""

    model: Model

    def start(self, call: Call, timeout_s: float) -> Future[Answer]:
        """Computes the answer within `timeout_s` seconds; the future has it or a FaceGateError."""

    def close(self) -> None:
        """Calls after it are errors."""


def open_models(repository: str | PathLike[str] | None) -> Nets:
    """Opens the models of `repository`, or the default ones, by the entry point in `PLUGINS`.

    Raises ImportError where no installed package registers one, and ValueError where the models cannot be opened.
    """
    plugins = entry_points(group=PLUGINS)
    if not plugins:
        raise ImportError(f"no installed package has an entry point {PLUGINS}")
    nets: Nets = next(iter(plugins)).load()(repository)
    return nets


class Switch:
    """Who answers the next call. Does no input or output, and is thread-safe."""

    def __init__(self, url: str, local: Model, breaker: Breaker | None = None) -> None:
        self._url, self._local = url, local
        self._breaker = breaker or Breaker()
        self._lock = threading.Lock()
        self._unlike: str | None = None  # why this process must not answer

    def turn(self) -> Turn:
        """The way of a call that begins now."""
        return Turn(Way.SERVER, 0) if self._unlike else self._breaker.turn()

    def share(self, timeout_s: float) -> float:
        """The seconds of a call's `timeout_s` that the server has."""
        return timeout_s if self._unlike else timeout_s * SERVER_SHARE

    def answered(self, turn: Turn, answer: Answer) -> None:
        """The server's answer to a call. Raises ServerFault where it does not say which nets gave it."""
        self._compare(read_model(answer))
        self._breaker.answered(turn)

    def failed(self, turn: Turn, error: FaceGateError) -> None:
        """The server's last word to a call. Raises it, unless this process is to answer instead."""
        if not _is_outage(error):
            self._breaker.answered(turn)
            raise error
        if self._unlike:
            raise type(error)(f"{error}; no fallback: {self._unlike}") from error
        if self._breaker.failed(turn):
            _log.warning("this process answers in place of %s: %s", self._url, error)

    def probed(self, outcomes: Iterable[Answer | BaseException]) -> None:
        """The end of a probe: what the server said, or how it failed. Full or seeing no face, it is back."""
        told = list(outcomes)
        for outcome in told:
            if isinstance(outcome, Answer):
                with suppress(ServerFault):  # the next call is told
                    self._compare(read_model(outcome))
        back = len(told) == len(_PROBES) and all(
            isinstance(outcome, Answer | NoFace | Overloaded) and not _stopping(outcome) for outcome in told
        )
        self._breaker.probed(ready=back)
        if back:
            _log.warning("%s answers again", self._url)

    def _compare(self, served: Model) -> None:
        with self._lock:
            if self._unlike or (served.digest and served.digest == self._local.digest):
                return
            self._unlike = (
                f"the server serves pack {served.pack} (digest {served.digest[:12] or 'none'}), the local one is "
                f"{self._local.pack} ({self._local.digest[:12] or 'none'}): their answers are not the same"
            )
        _log.warning("%s; without the server nothing is answered", self._unlike)


class FallbackTransport:
    """A Transport: the server's, or the local nets' in its place."""

    def __init__(self, remote: Transport, local: Nets, url: str, breaker: Breaker | None = None) -> None:
        self._remote, self._local = remote, local
        self._switch = Switch(url, local.model, breaker)

    def infer(self, call: Call, timeout_s: float) -> Answer:
        """See Transport. All of it, repetitions and the local run included, ends within `timeout_s`."""
        began = time.monotonic()
        turn = self._switch.turn()
        if turn.way is Way.SERVER:
            ends = began + self._switch.share(timeout_s)

            def ask() -> Answer:
                return self._remote.infer(call, _left(ends))

            try:
                answer: Answer = Retrying(**_repetition(ends))(ask)
            except FaceGateError as error:
                self._switch.failed(turn, error)
            else:
                self._switch.answered(turn, answer)
                return answer
        elif turn.way is Way.PROBE:
            self._start_probe()
        computing = self._local.start(call, _left(began + timeout_s))
        try:
            return computing.result()
        finally:
            computing.cancel()  # where this thread was interrupted

    def is_model_ready(self, model: str, timeout_s: float) -> bool:
        """See Transport. It is the server that is asked."""
        return self._remote.is_model_ready(model, timeout_s)

    def close(self) -> None:
        """See Transport."""
        self._remote.close()
        self._local.close()

    def _start_probe(self) -> None:
        try:
            threading.Thread(target=self._probe, name="facegate probe", daemon=True).start()
        except RuntimeError:  # no more threads now
            self._switch.probed([])

    def _probe(self) -> None:
        self._switch.probed(map(self._outcome, _PROBES))

    def _outcome(self, call: Call) -> Answer | Exception:
        try:
            return self._remote.infer(call, PROBE_S)
        except Exception as error:  # a closed client's, too
            return error


class AsyncFallbackTransport:
    """The same for the tasks of one event loop; the local nets have a loop of their own."""

    def __init__(self, remote: AsyncTransport, local: Nets, url: str, breaker: Breaker | None = None) -> None:
        self._remote, self._local = remote, local
        self._switch = Switch(url, local.model, breaker)
        self._probing: asyncio.Task[None] | None = None

    @property
    def regions(self) -> Regions | None:
        """See AsyncTransport. They are the server's."""
        return self._remote.regions

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        """See FallbackTransport."""
        began = time.monotonic()
        turn = self._switch.turn()
        if turn.way is Way.SERVER:
            ends = began + self._switch.share(timeout_s)

            async def ask() -> Answer:
                return await self._remote.infer(call, _left(ends))

            try:
                answer: Answer = await AsyncRetrying(**_repetition(ends))(ask)
            except FaceGateError as error:
                self._switch.failed(turn, error)
            else:
                self._switch.answered(turn, answer)
                return answer
        elif turn.way is Way.PROBE:
            self._probing = asyncio.create_task(self._probe())
        return await asyncio.wrap_future(self._local.start(call, _left(began + timeout_s)))

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        """See FallbackTransport."""
        return await self._remote.is_model_ready(model, timeout_s)

    async def close(self) -> None:
        """See Transport."""
        if self._probing is not None:
            self._probing.cancel()
        await self._remote.close()
        await asyncio.to_thread(self._local.close)  # it waits for what is under way

    async def _probe(self) -> None:
        outcomes: list[Answer | BaseException] = []
        try:
            asked = (self._remote.infer(call, PROBE_S) for call in _PROBES)
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
        finally:
            self._switch.probed(outcomes)


def _repetition(ends: float) -> dict[str, Any]:
    """tenacity's options for what may be asked again, until `ends` on the monotonic clock."""
    return {
        "retry": retry_if_exception_type(Unreachable),
        "stop": stop_after_attempt(ATTEMPTS) | stop_before_delay(_left(ends)),
        "wait": wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        "reraise": True,
    }


def _is_outage(error: FaceGateError) -> bool:
    return isinstance(error, Unreachable | DeadlineExceeded) or _stopping(error)


def _stopping(outcome: object) -> bool:
    return isinstance(outcome, Overloaded) and str(outcome).startswith(contract.STOPPING_REASON)


def _left(until: float) -> float:
    return max(1e-3, until - time.monotonic())
