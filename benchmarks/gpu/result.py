"""The result of a proof on a GPU, a JSON file that is whole after every step, and the time that a step may take."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

CLEAN_UP_SECONDS = 60.0
"""What a step that was stopped may still take to put its things away."""


class Overtime(BaseException):
    """A step has used up its time. Not an Exception: what a net's run catches must not catch this."""


class Proof:
    """One run: what it has found so far, and how long it may still take."""

    def __init__(self, path: Path, minutes: float) -> None:
        """`path` is the result's file, which is written at once and after every step."""
        self.path = path
        self._started = time.monotonic()
        self._deadline = self._started + minutes * 60
        self.result: dict[str, Any] = {
            "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "minutes_allowed": minutes,
            "seconds": 0.0,
            "steps": {},
        }

    def left(self) -> float:
        """Seconds until the run has to be over."""
        return max(0.0, self._deadline - time.monotonic())

    @contextmanager
    def step(self, name: str, seconds: float) -> Iterator[float]:
        """Run the body for at most `seconds`, the most it may plan for. Whatever goes wrong in it is recorded in one
        line, and the run goes on."""
        seconds = max(1.0, min(seconds, self.left()))
        record = self.result["steps"][name] = {"seconds": 0.0, "trouble": "it did not end: the run was killed here"}
        self.save()
        say(f"{name}, for at most {seconds:.0f} s")
        began, trouble = time.monotonic(), "it was interrupted"
        try:
            with _alarm(seconds):
                yield seconds
            trouble = ""
        except Overtime:
            trouble = f"it was stopped after {seconds:.0f} s, its share of the time; give the run more --minutes"
        except Exception as error:
            trouble = in_a_line(error)
        finally:
            record.update(seconds=round(time.monotonic() - began, 1), trouble=trouble or None)
            if trouble:
                say(f"{name}: {trouble}")
            self.save()

    def trouble(self, name: str) -> str | None:
        """Why a step did not do what it should, or None where it did."""
        found: str | None = self.result["steps"][name]["trouble"]
        return found

    def save(self) -> None:
        """Write the file; whoever reads it finds the old one or the new one."""
        self.result["seconds"] = round(time.monotonic() - self._started, 1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.new")
        fresh.write_text(json.dumps(self.result, indent=1) + "\n", encoding="utf-8")
        os.replace(fresh, self.path)


def file_name(gpu: str) -> str:
    """A GPU's name as part of a file's: "NVIDIA L4" is nvidia-l4."""
    return re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-") or "unnamed"


def in_a_line(error: BaseException) -> str:
    """What an exception says, on one line; one that nobody meant to be read says also where it came from."""
    said = " ".join(str(error).split())[:600]
    meant = type(error).__module__.split(".")[0] in ("facegate", "facegate_ensemble", "facegate_client", "benchmarks")
    if said and (meant or isinstance(error, ImportError)):
        return said
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" ({Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno})" if frame else ""
    return f"{type(error).__name__}: {said}{place}"


def say(text: str) -> None:
    """A line for the person at the terminal."""
    print(f"facegate: {text}", file=sys.stderr, flush=True)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(signum: int, frame: FrameType | None) -> None:
        raise Overtime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, CLEAN_UP_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)
