"""One run of tritonserver: its command, its processes, its end."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from ensemble.drain import BUSY, STOPPING
from server import shared_memory
from server.embedded import EmbeddedTriton

RESTRICTED = "shared-memory,model-repository,trace,logging"
DRAIN_SECONDS = 30
EXIT_SECONDS = 5
"""Triton's own, once it is drained: it waits for HTTP connections that clients keep open, with nothing in flight."""

SHM_BYTES = 16 * 1024 * 1024
"""What each Python process starts with, and grows by, in shared memory: a request of two 5 MB pictures fits."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served, how and where. Ports are TCP; `host` is the address that gRPC, HTTP and metrics bind."""

    repository: Path
    backend: str
    inferer: str
    host: str
    grpc_port: int
    http_port: int
    metrics_port: int
    admin_key: str = field(repr=False)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    verbose: bool = False

    @property
    def ports(self) -> dict[str, int]:
        """Each port by what speaks there."""
        return {"grpc": self.grpc_port, "http": self.http_port, "metrics": self.metrics_port}

    @property
    def http_host(self) -> str:
        """Triton's HTTP cannot speak TLS: where gRPC does, HTTP stays on this machine."""
        return "127.0.0.1" if self.tls_certificate else self.host

    @property
    def own_url(self) -> str:
        """Where this machine itself reaches HTTP."""
        host = "127.0.0.1" if self.http_host == "0.0.0.0" else self.http_host  # noqa: S104
        return f"http://{host}:{self.http_port}"


class Triton:
    """A tritonserver and the stubs it starts."""

    def __init__(self, embedded: EmbeddedTriton, scratch: Path, settings: Settings) -> None:
        """Start it on the backends in `scratch`, where the files of ensemble/drain.py are too."""
        self._scratch = scratch
        drain = {"FACEGATE_INFERER": settings.inferer, "FACEGATE_DRAIN": str(scratch)}
        environment = {**embedded.environment(), **drain}
        self._process = subprocess.Popen(
            _command(embedded, scratch / "backends", settings),
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is the watcher's to handle
            preexec_fn=_die_with_parent,
        )
        self._stubs: list[psutil.Process] = []

    def running(self) -> bool:
        """Whether tritonserver itself still runs."""
        return self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """How tritonserver ended; negative for a signal, None while it runs."""
        return self._process.poll()

    def adopt(self) -> None:
        """Take note of the processes behind the models, and close their memory to others; call once it is ready."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._stubs = psutil.Process(self._process.pid).children(recursive=True)
        shared_memory.make_private()

    def dead_stub(self) -> str | None:
        """The PID and state of a remembered process that is gone, or None."""
        for stub in self._stubs:
            with contextlib.suppress(psutil.NoSuchProcess):
                if stub.is_running() and stub.status() != psutil.STATUS_ZOMBIE:
                    continue
            return f"process {stub.pid} behind a model is gone"
        return None

    def drain(self) -> None:
        """Let it answer what is in flight, take nothing new, and end; what is left over is for `kill`."""
        (self._scratch / STOPPING).touch()
        deadline = time.monotonic() + DRAIN_SECONDS
        with (self._scratch / BUSY).open("w") as busy:
            while self.running() and time.monotonic() < deadline and not _locked(busy):
                time.sleep(0.02)
        if self.running():
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2 * EXIT_SECONDS)

    def kill(self) -> None:
        """End every process of this run now, and remove its shared memory."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        psutil.wait_procs(self._stubs, timeout=5)
        shared_memory.remove_own()


def _command(embedded: EmbeddedTriton, backends: Path, settings: Settings) -> list[str]:
    flags = {
        "model-repository": settings.repository,
        "backend-directory": backends,
        "model-config-name": settings.backend,
        "grpc-address": settings.host,
        "grpc-port": settings.grpc_port,
        "http-address": settings.http_host,
        "http-port": settings.http_port,
        "metrics-address": settings.http_host,
        "metrics-port": settings.metrics_port,
        "grpc-restricted-protocol": f"{RESTRICTED}:admin-key={settings.admin_key}",
        "http-restricted-api": f"{RESTRICTED}:admin-key={settings.admin_key}",
        "exit-timeout-secs": EXIT_SECONDS,
        "allow-gpu-metrics": "false",
        "pinned-memory-pool-byte-size": 0,
        "grpc-infer-allocation-pool-size": 1,  # requests kept for reuse, each with room for the largest it ever held
        "log-info": str(settings.verbose).lower(),
    }
    if settings.tls_certificate:
        flags |= {"grpc-use-ssl": "true", "grpc-server-cert": settings.tls_certificate}
        flags |= {"grpc-server-key": settings.tls_key or ""}
    if settings.tls_client_ca:
        flags |= {"grpc-use-ssl-mutual": "true", "grpc-root-cert": settings.tls_client_ca}
    command = [str(embedded.program), "--disable-auto-complete-config"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    for backend in ("python", settings.backend):
        command.append(f"--backend-config={backend},shm-region-prefix-name={shared_memory.prefix()}")
        command.append(f"--backend-config={backend},shm-default-byte-size={SHM_BYTES}")
        command.append(f"--backend-config={backend},shm-growth-byte-size={SHM_BYTES}")
    return command


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_LIBC = ctypes.CDLL(None)  # loaded here, since little may be done between fork and exec


def _die_with_parent() -> None:
    """Linux: send this process SIGTERM when the one that started it dies (prctl(2), PR_SET_PDEATHSIG = 1)."""
    _LIBC.prctl(1, signal.SIGTERM)
