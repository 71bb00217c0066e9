"""A real server: its nets one by one, the same two requests through it, and the demo's verdicts."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.gpu.asked import Asked
from benchmarks.gpu.pipeline import CALLERS, PLANNED, measured
from benchmarks.gpu.result import Overtime
from benchmarks.gpu.served import held
from facegate.build.target import Precision
from facegate.cli.demo import ACTS, LIVE, SPOOF
from facegate.cli.running import running_server
from facegate.errors import ServeError
from facegate.serve.installation import find_triton
from facegate_client import AsyncFaceClient, FaceClient

OPTIONS = ("--backend", "auto")
EXPECTED = (True, False, False, True)
"""What the demo's acts have to show: verified, vetoed, vetoed, verified."""

NETS = 0.4
"""Of the time that is left when the server is ready, what its nets may be asked in."""

LINES = 6
"""Of what a server that did not start said, so many last lines are recorded."""


def measure(samples: Mapping[str, Path], asked: Mapping[str, Asked], seconds: float, found: dict[str, Any]) -> None:
    """Add to `found` what runs the nets of a server started here, its verdicts, what its nets answer to what they are
    `asked`, and its figures by request and callers.

    Raises ServeError, with the server's last lines, where it does not start, and where a net's answer is wrong or a
    verdict is not the demo's.
    """
    until = time.monotonic() + seconds * PLANNED
    with tempfile.TemporaryDirectory(prefix="facegate-") as scratch, ExitStack() as opened:
        log = Path(scratch) / "log"
        try:
            with _said_to(log):
                address, process = opened.enter_context(_server())
        except (ServeError, Overtime) as error:
            why = str(error) or "it was not ready within its share of the time"
            raise ServeError(f"{why}; it said: {' / '.join(_lines(log)[-LINES:])}") from None
        assert process.poll() is None
        found["runs_on"] = [line for line in _lines(log) if line.startswith(("Triton: ", "backend ", "NOT USED"))]
        found["on_gpu"] = any(line.startswith("backend ") and "on the GPU" in line for line in found["runs_on"])
        found["verdicts"], precision = _verdicts(address, samples)
        share = (until - time.monotonic()) * NETS
        held(address, asked, precision, find_triton().native, share, found.setdefault("served", {}))
        asyncio.run(_requests(address, samples, until, found))
    wrong = {net: each for net, each in found["served"]["nets"].items() if each["wrong"]}
    troubles = [f"{net} answered {each['wrong']} times wrong: {each['told'][0]}" for net, each in wrong.items()]
    if any(act["verified"] is not expected for act, expected in zip(found["verdicts"], EXPECTED, strict=True)):
        troubles.append("the server's verdicts are not the demo's: verified, vetoed, vetoed, verified")
    if troubles:
        raise ServeError("; ".join(troubles))


@contextmanager
def _server() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server, which is gone afterwards even where waiting for its end was cut short."""
    process = None
    try:
        with running_server(*OPTIONS) as (address, process):
            yield address, process
    finally:
        if process is not None and process.poll() is None:
            process.kill()


def _verdicts(address: str, samples: Mapping[str, Path]) -> tuple[list[dict[str, Any]], Precision]:
    """The demo's verdicts, and the precision that the server says its nets have."""
    verdicts, precisions = [], set()
    with FaceClient(address, timeout_s=60) as client:
        for what, one, other, liveness in ACTS:
            verdict = client.verify(samples[one], samples[other], anti_spoofing=liveness)
            verdicts.append({"what": what, "verified": verdict.verified, "distance": round(verdict.distance, 4)})
            precisions.add(verdict.model.precision)
    (precision,) = precisions
    return verdicts, Precision(precision)


async def _requests(address: str, samples: Mapping[str, Path], until: float, found: dict[str, Any]) -> None:
    one, other = samples[LIVE].read_bytes(), samples[SPOOF].read_bytes()
    async with AsyncFaceClient(address, timeout_s=60) as client:

        async def analyze() -> None:
            await client.analyze(one, anti_spoofing=True)

        async def verify() -> None:
            await client.verify(one, other, anti_spoofing=True)

        cells = [(callers, call) for callers in CALLERS for call in (analyze, verify)]
        for number, (callers, call) in enumerate(cells):
            share = (until - time.monotonic()) / (len(cells) - number)
            figures = await measured({"server": call}, callers, share)
            found.setdefault("requests", {}).setdefault(call.__name__, {})[str(callers)] = figures["server"]


@contextmanager
def _said_to(log: Path) -> Iterator[None]:
    """What is started in the body speaks to `log`."""
    kept = os.dup(1), os.dup(2)
    try:
        with log.open("ab") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
        yield
    finally:
        for number, own in enumerate(kept, 1):
            os.dup2(own, number)
            os.close(own)


def _lines(log: Path) -> list[str]:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.strip().removeprefix("facegate: ")[:300] for line in lines if line.strip()]
