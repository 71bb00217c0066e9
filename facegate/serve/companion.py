"""A program beside Triton: started once Triton serves, replaced when it dies or hangs, stopped before Triton."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from facegate.errors import ServeError
from facegate.serve.triton import die_with_parent

STOP_SECONDS = 40.0
"""It has 30 of its own to answer what is under way."""

HEALTHY_SECONDS = 10.0
"""After so long a start has worked, and the next wait is the first one's again."""

LONGEST_WAIT_S = 30.0

PROBE_SECONDS = 5.0
"""How often it is asked whether it lives, and how long it may take to answer."""

PATIENCE = 3
"""Probes in a row without an answer after which it is killed: 20 to 30 s."""

START_SECONDS = 300.0
"""A start is not judged by probes before the first answer, or this long: a large gallery takes time to load."""


class Companion:
    """One program and its restarts. `say` gets a line for each of them; `address` is where it answers
    /healthz over plain HTTP."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        say: Callable[[str], None],
        address: tuple[str, int],
    ) -> None:
        self._name, self._command, self._environment, self._say = name, command, environment, say
        self._address = address
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at, self._restarts, self._wait_s, self._again_at = 0.0, 0, 0.0, 0.0
        self._probes = ThreadPoolExecutor(1, f"{name} probe")  # so that waiting for an answer delays nothing else
        self._probe: Future[bool] | None = None
        self._probed_at, self._answered, self._unanswered = 0.0, False, 0

    def look(self) -> None:
        """Start it, or replace it, where it does not run or does not answer. Returns at once.

        Raises ServeError when its first start fails.
        """
        now = time.monotonic()
        if self._process is None:
            if now >= self._again_at:
                self._start(now)
            return
        status = self._process.poll()
        if status is None and not self._hangs(now):
            if now > self._started_at + HEALTHY_SECONDS:
                self._wait_s = 0.0
            return
        if status is None:
            self._process.kill()  # a stopped process would never handle SIGTERM
            self._process.wait()
            end = f"did not answer {PATIENCE} times in a row"
        elif self._restarts == 0 and now < self._started_at + HEALTHY_SECONDS and status > 0:
            raise ServeError(f"the {self._name} did not start (exit status {status}); its own messages are above")
        else:
            end = f"ended (exit status {status})"
        self._process, self._again_at = None, now + self._wait_s
        self._restarts += 1
        self._say(f"the {self._name} {end}; starting it anew")
        self._wait_s = min(max(1.0, 2 * self._wait_s), LONGEST_WAIT_S)

    def _hangs(self, now: float) -> bool:
        """Whether the last probes were not answered. Sends the next one when it is due."""
        if self._probe is not None and self._probe.done():
            if self._probe.result():
                self._answered, self._unanswered = True, 0
            else:
                self._unanswered += 1
            self._probe = None
        if self._unanswered >= PATIENCE and (self._answered or now > self._started_at + START_SECONDS):
            return True
        if self._probe is None and now >= self._probed_at + PROBE_SECONDS:
            self._probe, self._probed_at = self._probes.submit(_answers, self._address), now
        return False

    def stop(self) -> None:
        """Let it answer what is under way, and end."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._say(f"the {self._name} did not stop within {STOP_SECONDS:g} s; ending it")
            self._process.kill()
            self._process.wait()
        self._process = None

    def _start(self, now: float) -> None:
        self._started_at = self._probed_at = now
        self._probe, self._answered, self._unanswered = None, False, 0
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is the watcher's to handle
            preexec_fn=die_with_parent,
        )


def _answers(address: tuple[str, int]) -> bool:
    """Whether the program at `address` answers a request for /healthz with 200 within PROBE_SECONDS."""
    connection = http.client.HTTPConnection(*address, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
