"""One run of tritonserver: its command, its processes, its end."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from facegate.addresses import of_this_machine
from facegate.serve import shared_memory
from facegate.serve.installation import Installation
from facegate_ensemble.policy import UNRESTRICTED, Policy
from facegate_ensemble.triton.drain import BUSY, STOPPING

RESTRICTED = ("shared-memory", "model-repository", "trace", "logging")
CLIENT_SHM = "allow-client-shm"
"""NVIDIA's releases from 26.04 refuse regions of clients without it; earlier ones do not know it:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_shared_memory.md"""

DRAIN_SECONDS = 30
ANSWER_SECONDS = 1.0
"""For answers that a model has given to Triton to reach their callers, before tritonserver is killed."""

EXIT_SECONDS = 5
"""Triton's own limit where SIGTERM ends it, because its parent died: it waits for HTTP connections that stay open."""

NO_ADMIN_KEY = "closed:no-admin-key"
"""The name of a header that nobody can send: in HTTP/1.1 a name ends at the first colon, and gRPC resets a stream with
one in a name. A random key would not do: a command line is visible to every user of the machine."""

MIN_PING_SECONDS = 1
"""A client may send a keepalive ping this often. Triton's default of 300 s closes the connection of a client with the
usual 10 s: https://grpc.io/docs/guides/keepalive/"""

STACK_BYTES = 256 * 1024 * 1024
"""Triton 2.51 puts 16 bytes on a thread's stack for each chunk of an HTTP request, without a limit. The usual 8 MiB end
with 520,000 chunks, which are 3 MB, and Triton with them; these with 16 million. Only what is used takes memory."""

SHM_BYTES = 16 * 1024 * 1024
"""What each Python process starts with, and grows by, in shared memory: a request of two 5 MB pictures fits."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served, how and where. Ports are TCP; gRPC binds `host`, HTTP `http_host`, metrics `metrics_host`.

    `admin_key` opens the APIs in `RESTRICTED`; None closes them to everybody.

    `backend` is what the net models run on, "tensorrt" (the repository's default configuration) or "onnxruntime";
    `provider` is what ONNX Runtime itself runs on in Python processes, "cpu" or "cuda". `client_shm` lets clients of
    this machine pass tensors in shared memory. `version_compatible`: the plans were built so that a later TensorRT
    runs them too, which NVIDIA's backend has to know. `policy` is that of face_verify.
    `build_command` builds the repository, for error messages.
    """

    repository: Path
    backend: str
    inferer: str
    host: str
    grpc_port: int
    http_port: int
    metrics_port: int
    admin_key: str | None = field(default=None, repr=False)
    http_host: str = "127.0.0.1"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    verbose: bool = False
    provider: str = "cpu"
    client_shm: bool = False
    version_compatible: bool = False
    policy: Policy = UNRESTRICTED
    build_command: str = "facegate build"

    @property
    def on_gpu(self) -> bool:
        """Whether nets run on a GPU."""
        return self.backend == "tensorrt" or self.provider == "cuda"

    @property
    def ports(self) -> dict[str, int]:
        """Each port by what speaks there."""
        return {"grpc": self.grpc_port, "http": self.http_port, "metrics": self.metrics_port}

    @property
    def metrics_host(self) -> str:
        """`host`, but loopback where gRPC speaks TLS: Triton's metrics cannot."""
        return "127.0.0.1" if self.tls_certificate else self.host

    @property
    def own_url(self) -> str:
        """The HTTP address for callers on this machine."""
        return f"http://{of_this_machine(self.http_host)}:{self.http_port}"

    @property
    def companion_url(self) -> str:
        """The address for a program beside this Triton: gRPC, or HTTP where gRPC speaks TLS. A certificate need not be
        for this machine's own name."""
        return self.own_url if self.tls_certificate else f"{of_this_machine(self.host)}:{self.grpc_port}"


class Triton:
    """A tritonserver and the stubs it starts."""

    def __init__(self, installation: Installation, backends: Path, scratch: Path, settings: Settings) -> None:
        """Start it on the backend directory `backends`; facegate_ensemble.triton.drain has its files in `scratch`."""
        self._scratch = scratch
        environment = {
            **installation.environment(),
            "FACEGATE_INFERER": settings.inferer,
            "FACEGATE_PROVIDER": settings.provider,
            "FACEGATE_DRAIN": str(scratch),
            **settings.policy.as_environment(),
        }
        self._process = subprocess.Popen(
            _command(installation, backends, settings),
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is the watcher's to handle
            preexec_fn=die_with_parent if installation.native else _prepare_embedded,
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
        """Take no new requests, and wait until those in flight are answered, for at most `DRAIN_SECONDS`.

        `kill` ends it then. SIGTERM would not do: Triton unloads its models first and for seconds answers NOT_FOUND
        ("Request for unknown model"), which a client could read as "no face".
        """
        (self._scratch / STOPPING).touch()
        deadline = time.monotonic() + DRAIN_SECONDS
        with (self._scratch / BUSY).open("w") as busy:
            while self.running() and time.monotonic() < deadline and not _locked(busy):
                time.sleep(0.02)
        if self.running():
            time.sleep(ANSWER_SECONDS)

    def kill(self) -> None:
        """End every process of this run now, and remove its shared memory."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        psutil.wait_procs(self._stubs, timeout=5)
        shared_memory.remove_own()


def _command(installation: Installation, backends: Path, settings: Settings) -> list[str]:
    restricted = ",".join(api for api in RESTRICTED if not (settings.client_shm and api == "shared-memory"))
    if settings.admin_key is None:
        access = f"{restricted}:{NO_ADMIN_KEY}={secrets.token_urlsafe(32)}"
    else:
        access = f"{restricted}:admin-key={settings.admin_key}"
    flags = {
        "model-repository": settings.repository,
        "backend-directory": backends,
        "grpc-address": settings.host,
        "grpc-port": settings.grpc_port,
        "http-address": settings.http_host,
        "http-port": settings.http_port,
        "metrics-address": settings.metrics_host,
        "metrics-port": settings.metrics_port,
        "grpc-restricted-protocol": access,
        "http-restricted-api": access,
        "grpc-http2-min-recv-ping-interval-without-data": MIN_PING_SECONDS * 1000,
        "grpc-keepalive-permit-without-calls": 1,  # else a ping without a call is allowed once in two hours
        "exit-timeout-secs": EXIT_SECONDS,
        "grpc-infer-allocation-pool-size": 1,  # requests kept for reuse, each with room for the largest it ever held
        "log-info": str(settings.verbose).lower(),
    }
    if settings.backend == "onnxruntime":
        flags["model-config-name"] = settings.backend
    if not settings.on_gpu:
        flags |= {"allow-gpu-metrics": "false", "pinned-memory-pool-byte-size": 0}
    if settings.client_shm and _knows(installation, CLIENT_SHM):
        flags[CLIENT_SHM] = "true"
    if settings.tls_certificate:
        flags |= {"grpc-use-ssl": "true", "grpc-server-cert": settings.tls_certificate}
        flags |= {"grpc-server-key": settings.tls_key or ""}
    if settings.tls_client_ca:
        flags |= {"grpc-use-ssl-mutual": "true", "grpc-root-cert": settings.tls_client_ca}
    command = [str(installation.program), "--disable-auto-complete-config"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    return command + [f"--backend-config={setting}" for setting in _backend_settings(installation, settings)]


def _backend_settings(installation: Installation, settings: Settings) -> Iterator[str]:
    """Backends in Python each have shared memory of their own."""
    for backend in ("python",) if installation.native else ("python", settings.backend):
        yield f"{backend},shm-region-prefix-name={shared_memory.prefix()}"
        yield f"{backend},shm-default-byte-size={SHM_BYTES}"
        yield f"{backend},shm-growth-byte-size={SHM_BYTES}"
    if installation.native and settings.version_compatible:
        yield "tensorrt,version-compatible=true"


def _knows(installation: Installation, flag: str) -> bool:
    """Triton ends at once when it gets a flag that it does not know."""
    usage = subprocess.run(
        [str(installation.program), "--help"],
        env=installation.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,  # 2.51 ends with status 1 after its usage
    )
    return f"--{flag}" in usage.stdout + usage.stderr


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prepare_embedded() -> None:
    """Before exec: `die_with_parent`, and stacks of STACK_BYTES for the threads of tritonserver."""
    die_with_parent()
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    wanted = STACK_BYTES if hard == resource.RLIM_INFINITY else min(STACK_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))


_LIBC = ctypes.CDLL(None)  # loaded here, since little may be done between fork and exec


def die_with_parent() -> None:
    """Linux: send this process SIGTERM when the one that started it dies (prctl(2), PR_SET_PDEATHSIG = 1)."""
    _LIBC.prctl(1, signal.SIGTERM)
