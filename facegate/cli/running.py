"""A `facegate serve` as long as something needs it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from facegate.errors import ServeError
from facegate_client import FaceClient

READY_SECONDS = 330.0  # a first start with engines may take five minutes


@contextmanager
def running_server(*options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A `facegate serve` with these options on free ports: its gRPC address, once it is ready, and its process."""
    grpc, http, metrics = free_ports(3)
    ports = ["--grpc-port", str(grpc), "--http-port", str(http), "--metrics-port", str(metrics)]
    process = subprocess.Popen([sys.executable, "-m", "facegate", "serve", *ports, *options])
    try:
        address = f"127.0.0.1:{grpc}"
        _wait(process, address)
        yield address, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    with FaceClient(address) as client:
        while not client.is_ready():
            if process.poll() is not None:
                raise ServeError("the server did not start; its own messages are above")
            if time.monotonic() > deadline:
                raise ServeError(f"the server was not ready within {READY_SECONDS:g} s")
            time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """TCP ports of this machine that nothing listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
