"""A real `facegate serve` for a test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from facegate.cli.running import free_ports

ROOT = Path(__file__).resolve().parents[2]

_stopping: list[subprocess.Popen[str]] = []
"""They take seconds for it, which they spend waiting: the next test need not wait with them."""


@dataclass(frozen=True)
class Server:
    """A running `facegate serve`."""

    process: subprocess.Popen[str]
    grpc: str
    http: str
    metrics: str
    log: Path

    def address(self, transport: str) -> str:
        return self.http if transport == "http" else self.grpc


def serving(
    log: Path, *options: str, environment: Mapping[str, str] | None = None, program: Sequence[str] = ("-m", "facegate")
) -> contextlib.AbstractContextManager[Server]:
    """`facegate serve` with these options, from ready to told to stop. `program` is what Python runs as `facegate`."""
    ports = free_ports(3)
    command = [sys.executable, *program, "serve", *options]
    for name, port in zip(("grpc", "http", "metrics"), ports, strict=True):
        command += [f"--{name}-port", str(port)]
    return running(log, command, ports, environment)


def serving_repository(
    log: Path, repository: Path, inferer: str = "onnxruntime"
) -> contextlib.AbstractContextManager[Server]:
    """The same watcher over a repository that a test has made."""
    ports = free_ports(3)
    script = Path(__file__).with_name("serve_repository.py")
    return running(log, [sys.executable, str(script), str(repository), inferer, *map(str, ports)], ports)


@contextlib.contextmanager
def running(
    log: Path, command: list[str], ports: list[int], environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    grpc, http, metrics = ports
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    try:
        wait_for_line(process, log, "facegate: ready:")
        yield Server(process, f"127.0.0.1:{grpc}", f"127.0.0.1:{http}", f"127.0.0.1:{metrics}", log)
    finally:
        process.send_signal(signal.SIGTERM)
        _stopping.append(process)


def all_have_stopped() -> None:
    """Waits for the servers that were told to stop. Ends those that do not, and raises RuntimeError for them."""
    ends, late = time.monotonic() + 60, []
    for process in _stopping:
        try:
            process.wait(max(0.0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            late.append(process.args)
    if late:
        raise RuntimeError(f"these servers did not stop: {late}")


def wait_for_line(process: subprocess.Popen[str], log: Path, line: str, count: int = 1, seconds: float = 90) -> None:
    """Until `line` stands in the log `count` times."""
    deadline = time.monotonic() + seconds
    while log.read_text().count(line) < count:
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"no {line!r} in the server's log:\n{log.read_text()}")
        time.sleep(0.05)


MODELS = 7
"""Models of the default pack as served: two that callers ask, two detectors, the recognizer, two for liveness."""
