"""Things made by a thread of its own and handed over one at a time, so that a wait for them can end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """Runs a generator in a daemon thread. At most one thing made waits to be taken.

    FFmpeg cannot be called off from outside, and looks a host up or waits for a V4L2 buffer without any limit; who
    takes from a Handover waits no longer than told. An abandoned thread ends as soon as its own waiting does.
    """

    def __init__(self, make: Callable[[], Generator[T, None, None]]) -> None:
        self._make = make
        self._made: list[T] = []
        self._error: BaseException | None = None
        self._abandoned = self._ended = False
        self.longest_wait_s = 0.0  # between two items
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="camera-connection", daemon=True).start()

    @property
    def ended(self) -> bool:
        """The thread has freed what it had opened."""
        return self._ended

    def items(self, timeout_s: Callable[[], float]) -> Iterator[T]:
        """What is made, in order. Raises TimeoutError where the next takes longer, and what the generator raises.

        `timeout_s` is called before each wait.
        """
        taken = 0
        while True:
            began_s = time.monotonic()
            with self._changed:
                if not self._changed.wait_for(lambda: self._made or self._ended or self._abandoned, timeout_s()):
                    raise TimeoutError
                if self._abandoned:
                    return
                if not self._made:
                    break
                item = self._made.pop()
                self._changed.notify_all()
            if taken:
                self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - began_s)
            taken += 1
            yield item
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Nothing more is wanted; `items` ends at once. From any thread, any number of times."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            with closing(self._make()) as things:
                for thing in things:
                    if not self._hand_over(thing):
                        break
        except BaseException as error:  # it is for the thread that takes
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _hand_over(self, thing: T) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: not self._made or self._abandoned)
            self._made.append(thing)
            self._changed.notify_all()
            return not self._abandoned
