"""A real `facegate gateway` for a test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from facegate.cli.running import free_ports
from support.serving import ROOT, wait_for_line


@dataclass(frozen=True)
class Gateway:
    """A running `facegate gateway`: addresses as host:port."""

    process: subprocess.Popen[str]
    grpc: str
    http: str
    probes: str
    log: Path

    @property
    def base(self) -> str:
        """Of REST without TLS."""
        return f"http://{self.http}"


@contextlib.contextmanager
def gateway(log: Path, url: str, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Gateway]:
    """A gateway to Triton's gRPC at `url`, from ready to drained. Its gallery lies beside `log` unless said."""
    grpc, http, probes = free_ports(3)
    command = [sys.executable, "-m", "facegate", "gateway", "--url", url]
    command += ["--grpc-port", str(grpc), "--http-port", str(http), "--probe-port", str(probes)]
    if "--gallery" not in options:
        command += ["--gallery", str(log.with_name(f"{log.name}-gallery.db"))]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    try:
        wait_for_line(process, log, "facegate: gateway ready:")
        yield Gateway(process, *(f"127.0.0.1:{port}" for port in (grpc, http, probes)), log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
