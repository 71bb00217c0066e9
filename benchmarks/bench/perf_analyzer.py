"""NVIDIA's perf_analyzer, a load generator that is not ours, fetched once into build/perf_analyzer/.

It is a program in the wheel of tritonclient that benchmarks/perf-analyzer.txt pins. The two libraries that it misses
are among those of the Triton that pip installs, under longer names.
"""

from __future__ import annotations

import base64
import csv
import itertools
import json
import platform
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ROOT
from facegate.errors import ServeError
from facegate.serve.embedded import find_embedded

REQUIREMENTS = ROOT / "benchmarks" / "perf-analyzer.txt"
FOLDER = ROOT / "build" / "perf_analyzer"

LIBRARIES = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12.*"}
"""What the program asks for, and what it is called in nvidia-pytriton's wheel."""

GRACE_SECONDS = 120.0
"""It may take longer than it was asked to measure for: it waits for answers, and starts and ends by itself."""

WINDOWS = 3
"""It measures in windows, and is content after three of them if told that no deviation is too large."""


class PerfAnalyzerError(ServeError):
    """perf_analyzer cannot be had, or did not measure. One line."""


@dataclass(frozen=True, slots=True)
class Report:
    """Answers a second, and how long they took."""

    throughput: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class PerfAnalyzer:
    """The program, and the folder with what it misses of libraries."""

    program: Path
    libraries: Path

    def check(self) -> None:
        """Raises PerfAnalyzerError where it does not run here."""
        self._run("--version", seconds=0.0)

    def closed(
        self, address: str, model: str, images: Mapping[str, bytes], callers: int, *, liveness: bool, seconds: float
    ) -> Report:
        """`callers` that ask again as soon as they are answered; `images` are encoded files by their inputs' names."""
        return self._measured(address, model, images, liveness, seconds, "--concurrency-range", str(callers))

    def opened(
        self,
        address: str,
        model: str,
        images: Mapping[str, bytes],
        due: Sequence[float],
        *,
        liveness: bool,
        seconds: float,
    ) -> Report:
        """Requests at the moments that are `due`, in seconds, and from the first again once they are over.

        Its own Poisson arrivals are not used: asked for 20 a second, they were 15 to 16.
        """
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            gaps = (after - before for before, after in itertools.pairwise([0.0, *due]))
            file.write("\n".join(str(max(1, round(gap * 1e6))) for gap in gaps))
            file.flush()
            asked = ("--async", "--request-intervals", file.name)
            return self._measured(address, model, images, liveness, seconds, *asked)

    def _measured(
        self, address: str, model: str, images: Mapping[str, bytes], liveness: bool, seconds: float, *asked: str
    ) -> Report:
        with tempfile.TemporaryDirectory() as scratch:
            inputs, told = Path(scratch, "inputs.json"), Path(scratch, "told.csv")
            inputs.write_text(input_data(images), encoding="ascii")
            said = self._run(
                *("-m", model, "-i", "grpc", "-u", address, "--input-data", str(inputs)),
                *("--request-parameter", f"anti_spoofing:{str(liveness).lower()}:bool"),
                *("--measurement-interval", str(round(seconds / WINDOWS * 1000))),
                *("--max-trials", str(WINDOWS), "--stability-percentage", "999"),
                *("-f", str(told), *asked),
                seconds=seconds,
            )
            if not told.is_file():
                raise PerfAnalyzerError(f"perf_analyzer wrote no report: {_last_line(said)}")
            return report(told.read_text(encoding="ascii"))

    def _run(self, *arguments: str, seconds: float) -> str:
        """What it prints. Its environment is empty, so that no proxy is asked."""
        command = [str(self.program), *arguments]
        environment = {"LD_LIBRARY_PATH": str(self.libraries)}
        limit = seconds + GRACE_SECONDS
        try:
            ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=limit)
        except subprocess.TimeoutExpired:
            raise PerfAnalyzerError(f"perf_analyzer did not end within {limit:g} s and was ended") from None
        if ended.returncode:
            raise PerfAnalyzerError(f"perf_analyzer failed: {_last_line(ended.stdout + ended.stderr)}")
        return ended.stdout


def find() -> PerfAnalyzer:
    """The program, fetched where it is not here yet. Raises PerfAnalyzerError where it cannot be had."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise PerfAnalyzerError(f"perf_analyzer runs on Linux on x86-64, not on {sys.platform} on {platform.machine()}")
    found = PerfAnalyzer(FOLDER / "perf_analyzer", FOLDER / "lib")
    if not found.program.is_file() or found.program.stat().st_mtime < REQUIREMENTS.stat().st_mtime:
        _fetch(found.program)
    _link(find_embedded().libraries, found.libraries)
    found.check()
    return found


def input_data(images: Mapping[str, bytes]) -> str:
    """Its --input-data: one request whose inputs are BYTES [1], each with its length before it, as on the wire."""
    wire = {name: struct.pack("<I", len(data)) + data for name, data in images.items()}
    return json.dumps({"data": [{name: {"b64": base64.b64encode(data).decode()} for name, data in wire.items()}]})


def report(text: str) -> Report:
    """What its CSV says: a line of names, then a line for the one load that was measured."""
    lines = list(csv.DictReader(line for line in text.splitlines() if line.strip()))
    if len(lines) != 1:
        raise PerfAnalyzerError(f"perf_analyzer's report has {len(lines)} measurements where one was asked for")
    milliseconds = (float(lines[0][f"p{each} latency"]) / 1000 for each in (50, 90, 95, 99))
    return Report(float(lines[0]["Inferences/Second"]), *milliseconds)


def _fetch(program: Path) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        asked = ["--only-binary=:all:", "--require-hashes", "--requirement", str(REQUIREMENTS), "--dest", scratch]
        ended = subprocess.run([*pip, *asked], capture_output=True, text=True, check=False)
        if ended.returncode:
            raise PerfAnalyzerError(f"perf_analyzer cannot be fetched from PyPI: {_last_line(ended.stderr)}")
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            (name,) = (each for each in packed.namelist() if each.endswith("/bin/perf_analyzer"))
            fresh = Path(scratch, "perf_analyzer")
            fresh.write_bytes(packed.read(name))
        fresh.chmod(0o755)
        fresh.replace(program)


def _link(installed: Path, libraries: Path) -> None:
    """Give the libraries the names that the program asks for."""
    libraries.mkdir(parents=True, exist_ok=True)
    for name, pattern in LIBRARIES.items():
        files = sorted(installed.glob(pattern))
        if not files:
            raise PerfAnalyzerError(f"perf_analyzer needs {name}, and nvidia-pytriton has no {pattern}")
        link = libraries / name
        link.unlink(missing_ok=True)
        link.symlink_to(files[0])


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it gives no reason"
