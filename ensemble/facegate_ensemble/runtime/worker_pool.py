"""The threads that work on requests, and help one another where there are more of them than requests."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Lanes:
    """`count` threads. A request stays on the one that took it, since a change of threads costs 0.1 ms. Those of its
    parts that may run side by side are offered to the others, unless requests wait for these."""

    def __init__(self, count: int, name: str) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, name)
        self._waiting = 0
        self._lock = threading.Lock()

    def start(self, work: Callable[[], Result]) -> Future[Result]:
        """`work` on the next free thread, in the context (contextvars) of the caller. Until it has begun it can be
        cancelled. Raises RuntimeError when no thread can be had: these are closed.
        """
        self._count_waiting(1)
        try:
            begun = self._pool.submit(self._begin, copy_context().run, work)
        except RuntimeError:
            self._count_waiting(-1)
            raise
        begun.add_done_callback(lambda future: self._count_waiting(-1) if future.cancelled() else None)
        return begun

    def together(self, works: Sequence[Callable[[], Result]]) -> list[Result]:
        """All results in order, of works that this thread does from the first on and free ones from the last on.

        The first failure is raised when the others have ended too: nothing goes on without the request's permit.
        """
        parts = [_Part(work) for work in works]
        if not self._waiting:
            with contextlib.suppress(RuntimeError):  # no more threads are to be had while these close
                for _ in range(min(self.count, len(parts)) - 1):
                    self._pool.submit(self._help, parts)
        for part in parts:
            part.run()
        for part in parts:
            part.ended.wait()
        try:
            for part in parts:
                if part.error is not None:
                    raise part.error
            return [part.result for part in parts]
        finally:
            for part in parts:
                part.error = None  # its traceback refers to this frame, and so would keep what the request holds
            del parts

    def close(self) -> None:
        """Waits for what was started."""
        self._pool.shutdown()

    def _help(self, parts: Sequence[_Part[Result]]) -> None:
        for part in reversed(parts):
            if self._waiting:
                return
            part.run()

    def _begin(self, run: Callable[[Callable[[], Result]], Result], work: Callable[[], Result]) -> Result:
        self._count_waiting(-1)
        return run(work)

    def _count_waiting(self, change: int) -> None:
        with self._lock:
            self._waiting += change


class _Part(Generic[Result]):
    """A work that whoever comes first runs, in the context of the one who made it."""

    result: Result

    def __init__(self, work: Callable[[], Result]) -> None:
        self.ended = threading.Event()
        self.error: BaseException | None = None
        self._begun = threading.Lock()
        self._context = copy_context()
        self._work: Callable[[], Result] | None = work

    def run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        work, self._work = (
            self._work,
            None,
        )  # the pool may keep a part longer than its request's pictures should be kept
        assert work is not None  # noqa: S101 - the lock is taken once
        try:
            self.result = self._context.run(work)
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()
