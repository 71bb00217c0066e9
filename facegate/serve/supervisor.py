"""Keeps a Triton serving: starts it, asks it, starts it anew when it or a process of it dies, drains it at the end."""

from __future__ import annotations

import shutil
import signal
import socket
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType

from facegate.build.checks.known_answers import load_known_answers
from facegate.build.repository.manifest import ManifestError, check_files, read_manifest
from facegate.errors import ServeError
from facegate.serve import shared_memory
from facegate.serve.canary import Canary, CanaryError, WrongAnswerError
from facegate.serve.companion import Companion
from facegate.serve.installation import find_triton
from facegate.serve.nvidia import ROOT
from facegate.serve.triton import Settings, Triton

START_SECONDS = 60.0
GPU_START_SECONDS = 300.0
"""Plans are read and warmed up and CUDA graphs captured, net by net; the first time CUDA may compile kernels too."""

LOOK_SECONDS = 0.2
CANARY_SECONDS = 5.0
"""A canary is a verification and has a lane for its time: every two seconds it was seen in the p99 of others."""
PATIENCE = 2
"""Canary requests in a row that may fail before the server is started anew."""

WRONG_AGAIN_SECONDS = 3600.0
"""A wrong answer starts Triton anew; another one within this time stops the server."""

STARTS_IN_A_ROW = 5
"""Starts that may fail, after one that worked, before the watcher gives up."""


class Supervisor:
    """Serves until SIGTERM or SIGINT. One for each process, in its main thread."""

    def __init__(self, settings: Settings, root: Path = ROOT, companion: Companion | None = None) -> None:
        """`root` is where NVIDIA's own Triton is, if it is there. `companion` is kept running beside Triton."""
        self._settings, self._companion = settings, companion
        self._root = root
        self._start_seconds = GPU_START_SECONDS if settings.on_gpu else START_SECONDS
        self._stopping = False
        self._asking = ThreadPoolExecutor(1, "canary")  # so that a slow answer keeps nothing else from being noticed

    def run(self) -> None:
        """Serve until told to stop. Raises ServeError when that cannot be done."""
        installation = find_triton(self._root)
        _say(f"Triton: {installation.description}")
        _check_ports(self._settings)
        shared_memory.remove_leftovers()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with tempfile.TemporaryDirectory(prefix="facegate-") as scratch, ExitStack() as ending:
            ending.callback(self._stop_companion)
            backends = installation.backends(Path(scratch))
            self._copy_repository(Path(scratch) / "repository")
            self._canary = Canary(self._settings.own_url, load_known_answers(self._settings.repository))
            failures, wrong_at = 0, -WRONG_AGAIN_SECONDS
            while not self._stopping:
                if failures:
                    self._check_copy(self._settings.repository)
                triton = Triton(installation, backends, Path(scratch), self._settings)
                try:
                    trouble = self._until_ready(triton)
                    if trouble is None:
                        failures = 0
                        self._announce()
                        trouble = self._watch(triton)
                    elif not self._stopping and (failures == 0 or failures >= STARTS_IN_A_ROW):
                        raise ServeError(trouble)
                except WrongAnswerError as error:
                    if time.monotonic() < wrong_at + WRONG_AGAIN_SECONDS:
                        raise ServeError(
                            f"{error}; Triton was restarted for a wrong answer before: check this machine's memory and "
                            f"GPU, or build the repository again: {self._settings.build_command}"
                        ) from None
                    wrong_at, trouble = time.monotonic(), str(error)
                finally:
                    if self._stopping:
                        self._stop_companion()  # first: what it has under way needs Triton
                        triton.drain()
                    triton.kill()
                if not self._stopping:
                    _say(f"{trouble}; starting Triton anew")
                    time.sleep(failures)  # none after one that served
                    failures += 1
        _say("stopped")

    def _copy_repository(self, folder: Path) -> None:
        """Copy the repository to `folder` and serve it from there: Triton loads the same files at every start, whatever
        becomes of the repository. Links would not do, since a file may be overwritten in place.

        The graphs that TensorRT engines were built of are left out. Raises ServeError unless each file of the copy is
        the one in the manifest.
        """
        source, unused = self._settings.repository, (".onnx",) if self._settings.backend == "tensorrt" else ()
        try:
            files = read_manifest(source).files
            self._files = {name: sha256 for name, sha256 in files.items() if not name.endswith(unused)}
            for name in self._files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, folder / name)
        except (ManifestError, FileNotFoundError) as error:
            raise ServeError(f"{error}; build the repository again: {self._settings.build_command}") from None
        self._settings = replace(self._settings, repository=folder)
        self._check_copy(source)

    def _check_copy(self, shown: Path) -> None:
        """Raises ServeError, which names a file in `shown`, unless the copy is the repository that was built."""
        for cache in list(
            self._settings.repository.rglob("__pycache__")
        ):  # the stubs write it, whatever the environment
            shutil.rmtree(cache)
        try:
            check_files(self._settings.repository, self._files, shown)
        except ManifestError as error:
            raise ServeError(f"{error}; build the repository again: {self._settings.build_command}") from None

    def _stop_companion(self) -> None:
        if self._companion is not None:
            self._companion.stop()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        first, self._stopping = not self._stopping, True
        if first:
            _say("stopping: answering what is in flight")

    def _until_ready(self, triton: Triton) -> str | None:
        """None once a canary request is answered, else why there is no point in waiting longer. Raises
        WrongAnswerError."""
        deadline = time.monotonic() + self._start_seconds
        trouble = ""
        while time.monotonic() < deadline and not self._stopping:
            if not triton.running():
                return f"Triton did not start (exit status {triton.exit_status}); its own messages are above"
            try:
                self._canary.ask()
            except WrongAnswerError:
                raise
            except CanaryError as error:
                trouble = str(error)
                time.sleep(LOOK_SECONDS)
                continue
            triton.adopt()
            return None
        return f"Triton was not ready within {self._start_seconds:g} s: {trouble}"

    def _watch(self, triton: Triton) -> str:
        """Returns what went wrong, or once told to stop. Raises WrongAnswerError."""
        unanswered, asked_at = 0, time.monotonic()
        asking = self._asking.submit(self._canary.ask)
        while not self._stopping:
            time.sleep(LOOK_SECONDS)
            if self._companion is not None:
                self._companion.look()
            if not triton.running():
                return f"Triton ended (exit status {triton.exit_status})"
            if gone := triton.dead_stub():
                return gone
            if not asking.done() or time.monotonic() < asked_at + CANARY_SECONDS:
                continue
            trouble = asking.exception()
            if isinstance(trouble, WrongAnswerError):
                raise trouble
            unanswered = unanswered + 1 if trouble else 0
            if unanswered >= PATIENCE:
                return str(trouble)
            asked_at = time.monotonic()
            asking = self._asking.submit(self._canary.ask)
        return ""

    def _announce(self) -> None:
        settings = self._settings
        _say(
            f"ready: gRPC {settings.host}:{settings.grpc_port}{' (TLS)' if settings.tls_certificate else ''}, "
            f"HTTP {settings.http_host}:{settings.http_port}, "
            f"metrics http://{settings.metrics_host}:{settings.metrics_port}/metrics"
        )


def _check_ports(settings: Settings) -> None:
    hosts = {"grpc": settings.host, "http": settings.http_host, "metrics": settings.metrics_host}
    for option, host in (("--host", settings.host), ("--http-host", settings.http_host)):
        if ":" in host:
            raise ServeError(f"{option} {host}: Triton binds IPv4 addresses and names only")
    if len(set(settings.ports.values())) < len(settings.ports):
        given = ", ".join(f"--{name}-port {port}" for name, port in settings.ports.items())
        raise ServeError(f"{given}: the three have to differ")
    for name, port in settings.ports.items():
        host = hosts[name]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise ServeError(
                    f"cannot listen on {host}:{port} for {name}: {error.strerror}; "
                    f"stop what uses it, or choose another with --{name}-port"
                ) from None


def _say(text: str) -> None:
    print(f"facegate: {text}", file=sys.stderr, flush=True)
