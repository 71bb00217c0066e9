"""A program that runs beside Triton: started once Triton serves, started anew when it dies, stopped before Triton."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from server.errors import ServeError
from server.triton import die_with_parent

STOP_SECONDS = 40.0
"""It has 30 of its own to answer what is under way."""

HEALTHY_SECONDS = 10.0
"""After so long a start has worked, and the next wait is the first one's again."""

LONGEST_WAIT_S = 30.0


class Companion:
    """One program and its restarts. `say` gets a line for each of them."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        self._name, self._command, self._environment, self._say = name, command, environment, say
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at, self._restarts, self._wait_s, self._again_at = 0.0, 0, 0.0, 0.0

    def look(self) -> None:
        """Start it, or start it anew, where it does not run. Raises ServeError when its first start fails."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._again_at:
                self._start(now)
            return
        status = self._process.poll()
        if status is None:
            if now > self._started_at + HEALTHY_SECONDS:
                self._wait_s = 0.0
            return
        if self._restarts == 0 and now < self._started_at + HEALTHY_SECONDS and status > 0:
            raise ServeError(f"the {self._name} did not start (exit status {status}); its own messages are above")
        self._process, self._again_at = None, now + self._wait_s
        self._restarts += 1
        self._say(f"the {self._name} ended (exit status {status}); starting it anew")
        self._wait_s = min(max(1.0, 2 * self._wait_s), LONGEST_WAIT_S)

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
        self._started_at = now
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is the watcher's to handle
            preexec_fn=die_with_parent,
        )
