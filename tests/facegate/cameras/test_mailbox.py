"""Between the reading thread and the event loop: what is read is taken or dropped, and counted."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import numpy as np
import pytest

from facegate.cameras.frame import Frame
from facegate.cameras.mailbox import Mailbox, Mode
from facegate.cameras.stats import CameraStats

PIXELS = np.zeros((1, 1, 3), np.uint8)


def frame(index: int) -> Frame:
    return Frame(index, index / 10, time.time(), time.monotonic(), PIXELS)


async def exchange(
    mode: Mode, count: int, stop_after: int | None = None, slow: bool = False
) -> tuple[list[int], CameraStats]:
    """What is taken of `count` frames, and the counts; the loop stops after some."""
    stats = CameraStats("door")
    mailbox = Mailbox(mode, stats)

    def read() -> None:
        for index in range(count):
            if not mailbox.put(frame(index)):
                break
        mailbox.end()

    reading = threading.Thread(target=read)
    reading.start()
    taken: list[int] = []
    while await mailbox.filled():
        if slow:
            await asyncio.sleep(random.random() / 500)
        one = mailbox.take()
        assert one is not None
        taken.append(one.index)
        if len(taken) == stop_after:
            mailbox.close()
    await asyncio.to_thread(reading.join)
    return taken, stats


def test_every_frame_is_taken_in_order() -> None:
    taken, stats = asyncio.run(exchange(Mode.every, 200, slow=True))
    assert taken == list(range(200))
    assert (stats.snapshot().read, stats.snapshot().dropped) == (200, 0)


def test_the_newest_is_taken_and_the_others_are_counted() -> None:
    taken, stats = asyncio.run(exchange(Mode.latest, 500, slow=True))
    assert taken == sorted(set(taken)) and taken[-1] == 499
    assert stats.snapshot().read == 500 == len(taken) + stats.snapshot().dropped
    assert stats.snapshot().dropped > 0


@pytest.mark.parametrize("mode", Mode)
def test_who_stops_leaves_nothing_uncounted(mode: Mode) -> None:
    taken, stats = asyncio.run(exchange(mode, 10_000, stop_after=5, slow=True))
    assert len(taken) == 5
    assert stats.snapshot().read == 5 + stats.snapshot().dropped


def test_a_reader_that_waits_for_room_is_let_go() -> None:
    async def main() -> None:
        mailbox = Mailbox(Mode.every, CameraStats("door"))
        mailbox.put(frame(0))
        waiting = asyncio.create_task(asyncio.to_thread(mailbox.put, frame(1)))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        mailbox.close()
        assert await waiting is False
        assert not await mailbox.filled() and mailbox.take() is None

    asyncio.run(main())


def test_an_end_while_nobody_has_come() -> None:
    async def main() -> bool:
        mailbox = Mailbox(Mode.latest, CameraStats("door"))
        threading.Timer(0.02, mailbox.end).start()
        return await asyncio.wait_for(mailbox.filled(), 5)

    assert asyncio.run(main()) is False
