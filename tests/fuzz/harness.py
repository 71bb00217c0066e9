"""Runs a target under libFuzzer, and holds each input to its share of processor time. Needs atheris only when fuzzing.

Processor time, as a busy machine is slow with every input; and the best of three, as page faults vary by as much again.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Target = Callable[[bytes], None]
Mutator = Callable[[bytes, int, int], bytes]

_FLAGS = {
    "-timeout": 30,  # of a clock on the wall; the limit that counts is on processor time, below
    "-rss_limit_mb": 1024,
    "-print_final_stats": 1,
    "-close_fd_mask": 2,  # libjpeg writes a line there for each damaged file
    "-keep_seed": 1,  # files that differ in OpenCV's native code only have the same coverage
}


class TooSlow(Exception):
    """An input that the target takes too long for."""


def instrumented(fuzzing: bool) -> AbstractContextManager[object]:
    """What is imported within reports its coverage, when fuzzing."""
    if not fuzzing:
        return nullcontext()
    import atheris

    manager: AbstractContextManager[object] = atheris.instrument_imports(
        include=["facegate_ensemble", "facegate_client.imaging"]
    )
    return manager


def fuzz(target: Target, seconds: Callable[[bytes], float], max_len: int, mutator: Mutator | None = None) -> None:
    """Until libFuzzer's limits or a finding end it. The command line's flags and folders go to libFuzzer."""
    import atheris

    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    given = {argument.split("=")[0] for argument in sys.argv}
    flags = [f"{name}={value}" for name, value in {**_FLAGS, "-max_len": max_len}.items() if name not in given]
    options = {} if mutator is None else {"custom_mutator": mutator}
    program = f"{sys.executable} -m {sys.modules['__main__'].__spec__.name}"  # what -merge=1 and -fork=1 start anew
    atheris.Setup([program, *sys.argv[1:], *flags], _Timed(target, seconds), **options)
    atheris.Fuzz()


class _Timed:
    def __init__(self, target: Target, seconds: Callable[[bytes], float]) -> None:
        self._target = target
        self._seconds = seconds
        self._slowest = 0.1
        self._report = os.fdopen(os.dup(2), "w", buffering=1)  # -close_fd_mask closes the original

    def __call__(self, data: bytes) -> None:
        try:
            self._timed(data)
        except BaseException:
            traceback.print_exc(file=self._report)
            raise

    def _timed(self, data: bytes) -> None:
        used, limit = self._use(data), self._seconds(data)
        for _ in range(2):
            if used > limit:
                used = min(used, self._use(data))
        if used > self._slowest:
            self._slowest = used
            print(f"slowest so far: {used:.3f} s, {len(data)} bytes, {data[:32].hex()}", file=self._report)
        if used > limit:
            raise TooSlow(f"{used:.3f} s of processor time for {len(data)} bytes; the limit is {limit:g}")

    def _use(self, data: bytes) -> float:
        begun = time.process_time()
        self._target(data)
        return time.process_time() - begun
