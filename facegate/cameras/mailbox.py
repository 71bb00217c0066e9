"""Frames on their way from a camera's reading thread to the event loop. Few wait, whatever happens."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from enum import Enum

from facegate.cameras.frame import Frame
from facegate.cameras.stats import CameraStats


class Mode(str, Enum):
    """What happens to frames that come faster than they are answered."""

    latest = "latest"  # the oldest is dropped, so that results never lag: for live sources
    every = "every"  # the reader waits, so that no frame is lost: for files


class Mailbox:
    """One thread puts frames in, one event loop takes them out; each that is put in is taken or counted as dropped."""

    def __init__(self, mode: Mode, stats: CameraStats) -> None:
        """To be made in the event loop that takes."""
        self._mode = mode
        self._stats = stats
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()  # for the loop
        self._room = threading.Condition()  # for the thread, and around all below
        self._frames: deque[Frame] = deque()
        self._ended = False
        self._closed = False

    def put(self, frame: Frame) -> bool:
        """In the reading thread. False: nobody takes frames any more. In the mode `every` waits until there is room."""
        with self._room:
            if self._mode is Mode.every:
                self._room.wait_for(lambda: not self._frames or self._closed)
            if self._closed:
                return False
            self._stats.read()
            while self._frames:
                self._frames.popleft()
                self._stats.dropped()
            self._frames.append(frame)
        return self._wake()

    def end(self) -> None:
        """In the reading thread: no frame follows."""
        with self._room:
            self._ended = True
        self._wake()

    def close(self) -> None:
        """In the event loop: takes no more. What waits is dropped."""
        with self._room:
            self._closed = True
            for _ in range(len(self._frames)):
                self._stats.dropped()
            self._frames.clear()
            self._room.notify()
        self._changed.set()

    async def filled(self) -> bool:
        """Waits for a frame to take; False where none will come."""
        while True:
            with self._room:
                if self._frames:
                    return True
                if self._ended or self._closed:
                    return False
                self._changed.clear()
            await self._changed.wait()

    def take(self) -> Frame | None:
        """The frame that waits, the newest that there is; None where it was closed meanwhile."""
        with self._room:
            frame = self._frames.popleft() if self._frames else None
            self._room.notify()
            return frame

    def _wake(self) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:  # the loop is closed: the program ends
            return False
        return True
