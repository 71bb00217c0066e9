"""Packages of PyPI that judge faces, with weights that are here: each in an environment of its own, by its own process.

uniface does the whole of a verification with liveness, with SCRFD as the detector (it has no YuNet) and our other nets'
files. insightface detects: no weights of its recognizers can be had without a network. Both run as they come, each in a
process of its own without a server, one call at a time. det_500m.onnx, which is for non-commercial research only, is
taken from the directory FACEGATE_MIRROR where it is there, and is not fetched for this.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.bench.piped import PipedWay, piped
from facegate.cli.console import say
from facegate.errors import ServeError
from facegate.packs.shipped import pack_named
from facegate_ensemble.pack import Pack

PACKAGES = ("uniface==4.2.1", "insightface==2.1")
REQUIREMENTS = ROOT / "benchmarks" / "peers.txt"
PYTHONS = ((3, 11), (3, 12))
"""Those that benchmarks/peers.txt has wheels for."""

DETECTOR_FILE = "det_500m.onnx"
DETECTOR_PACK = "buffalo_sc"
"""The pack whose description says by a hash which file that is."""

_PLACE = ROOT / "build" / "peers"
_WORKER = Path(__file__).with_name("package_worker.py")


@contextmanager
def package_way(package: str, pack: Pack, files: Mapping[str, Path]) -> Iterator[PipedWay]:
    """A package of PACKAGES, ready. Raises ServeError, one line, where it cannot be had here."""
    detector = _detector()
    about = {
        "package": package,
        "weights": {**{name: str(path) for name, path in files.items()}, DETECTOR_FILE: str(detector)},
        "mean": pack.recognizer.mean,
        "std": pack.recognizer.std,
        "threshold": pack.recognizer.threshold,
    }
    with piped([_python(), str(_WORKER)], json.dumps(about)) as way:
        yield way


def _detector() -> Path:
    mirror = Path(os.environ.get("FACEGATE_MIRROR", ""))
    if not os.environ.get("FACEGATE_MIRROR") or not (found := next(mirror.rglob(DETECTOR_FILE), None)):
        raise ServeError(
            f"{DETECTOR_FILE} is not here: put it into a directory, and set FACEGATE_MIRROR to that directory"
        )
    expected = pack_named(DETECTOR_PACK).files[DETECTOR_FILE].sha256
    if hashlib.sha256(found.read_bytes()).hexdigest() != expected:
        raise ServeError(f"{found} is another file than {DETECTOR_PACK}'s: its SHA-256 is not {expected}")
    return found


def _python() -> str:
    """The Python of the packages' environment, which is made where it is not there. Raises ServeError without it."""
    python, ready = _PLACE / "bin" / "python", _PLACE / "ready"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not (ready.is_file() and ready.read_text(encoding="utf-8") == wanted):
        if sys.version_info[:2] not in PYTHONS:
            raise ServeError(
                "the packages to compare with need Python 3.11 or 3.12: run the benchmark with one of them"
            )
        say(f"{', '.join(PACKAGES)} are installed into {os.path.relpath(_PLACE)}")
        _run([sys.executable, "-m", "venv", "--clear", str(_PLACE)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        _run([*pip, "--require-hashes", "--only-binary=:all:", "--requirement", str(REQUIREMENTS)])
        ready.write_text(wanted, encoding="utf-8")
    return str(python)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last: Any = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise ServeError(f"the packages to compare with could not be installed: {last}")
