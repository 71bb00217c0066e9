"""A way that is a process of its own, asked by a pipe, a line for a line: each line and each answer is JSON.

An array names files to read, and is answered by {}. An empty line has them judged, from their bytes on: it is answered
by the verdict, or by {"error": "..."}.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import ROOT
from benchmarks.bench.peer import Found, Pair, Said, Verdict
from facegate.errors import ServeError


class PipedWay:
    """Not for several threads at a time."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder = process, folder

    def prepared(self, pair: Pair) -> Callable[[], bytes]:
        """See Way."""
        paths = [self._folder / name for name in ("first", "second")]
        for path, data in zip(paths, pair, strict=True):
            path.write_bytes(data)
        self.command(json.dumps([str(path) for path in paths]))
        return lambda: self.command("").encode()

    def read(self, answer: bytes) -> Said:
        """See Way."""
        told = json.loads(answer)
        if "error" in told:
            raise ServeError(f"it failed: {told['error']}")
        return Found(tuple(told["faces"])) if "faces" in told else Verdict.from_json(told)

    def command(self, line: str) -> str:
        """Send a line and get one. Raises ServeError where the process has ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise ServeError("its process has ended; its own messages are above")
        return answer


@contextmanager
def piped(command: Sequence[str], first: str) -> Iterator[PipedWay]:
    """A process that is ready: its `first` line was answered. Raises ServeError where that is by an error."""
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process,
    ):
        assert process.stdin is not None
        way = PipedWay(process, Path(folder))
        try:
            if error := json.loads(way.command(first)).get("error"):
                raise ServeError(f"it cannot be run: {error}")
            yield way
        finally:
            process.stdin.close()
