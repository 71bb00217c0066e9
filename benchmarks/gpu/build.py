"""Engines of one target and precision, built in a process of its own: `python -m benchmarks.gpu.build`.

So it can be stopped when its time is over, gives the GPU's memory back, and takes nothing with it if it crashes.
"""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import ROOT
from facegate.build.compiled import build_engines
from facegate.build.order import Order
from facegate.build.runtime import tensorrt
from facegate.build.target import Precision, Target
from facegate.errors import EngineError
from facegate.packs.shipped import pack_named

MOST_FACES = 64
"""The largest batch that is measured, of faces; of frames a quarter of it, as `Order.max_batch` has it."""

LINES = 3
"""Of what a build said, so many last lines are its reason."""

ENDING_SECONDS = 20.0
"""For a build to stop at the end of the step that TensorRT is at."""


def built(pack: str, target: Target, precision: Precision, pictures: Path | None, seconds: float) -> None:
    """Build what is not there yet, gate it and put its repository in its place, within `seconds`.

    Raises EngineError with the build's own last words, or at once where a package is not here that engines need.
    """
    tensorrt(target)
    if importlib.util.find_spec("pycuda") is None:
        raise EngineError(
            f"{target.label}'s engines are judged and run with PyCUDA, which is not installed: docs/pycuda.md"
        )
    if seconds < 2 * ENDING_SECONDS:
        raise EngineError("no time was left to build it; run it again, or with more --minutes")
    command = [sys.executable, "-m", __name__, pack, target.value, precision.value, str(pictures or "")]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            status = process.wait(seconds - ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            raise EngineError(
                f"not built within {seconds:.0f} s, its share of the time; what is finished is kept for the next run, "
                "which may be given more --minutes"
            ) from None
        finally:
            _end(process)
        log.seek(0)
        said = [line.strip() for line in log.read().splitlines() if line.strip()]
    if status:
        died = f"it was ended by {signal.Signals(-status).name}" if status < 0 else ""
        raise EngineError("; ".join(filter(None, [died, *said[-LINES:]])) or f"it ended with {status}, without a word")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop a build that is still running."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(ENDING_SECONDS * 0.75)
    except subprocess.TimeoutExpired:
        pass
    finally:  # the caller's own time may be over meanwhile
        process.kill()
        process.wait()


def main() -> None:
    """Build; exit status 1 and the reason last where that cannot be done."""
    pack, target, precision, pictures = sys.argv[1:]
    order = Order(
        pack_named(pack),
        Target(target),
        Precision(precision),
        Path(pictures) if pictures else None,
        max_batch=MOST_FACES,
    )
    try:
        build_engines(order, accept_license=False, say=print, progress=lambda *told: None)
    except (EngineError, RuntimeError, ValueError, OSError) as error:  # all that building says in one line
        sys.exit(str(error))


if __name__ == "__main__":
    main()
