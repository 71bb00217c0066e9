"""Live cameras, which come and go."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

from facegate.cameras.frame import Frame, SourceError
from facegate.cameras.sources.decoded import LIVE_TIMEOUT_S, Broken, Refused, opened
from facegate.cameras.sources.handover import Handover
from facegate.cameras.sources.notices import SourceNotices
from facegate.cameras.sources.shaping import Shaping
from facegate.cameras.sources.spec import SourceSpec

TIMEOUT_S = LIVE_TIMEOUT_S
"""Longest silence, seconds, while the rate is unknown: cameras may send one frame in 15 s."""
LEAST_TIMEOUT_S = 10.0
"""Shortest timeout for silence, seconds."""
GAPS = 3
"""A stream is lost after this many times its longest pause so far."""
LEAST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0


class LiveSource:
    """A `Source` that is connected to again and again, whenever it is silent for too long or breaks off.

    `frames` ends with `close`, or where a stream over HTTP has reached the end that it declared; it raises SourceError
    only before the first frame, on what no waiting mends. Times go on over an outage by the clock, indices without a
    gap. Every packet is a sign of life, also one that gives no frame.
    """

    live = True

    def __init__(self, spec: SourceSpec, notices: SourceNotices) -> None:
        self.name = spec.name
        self._spec = spec
        self._notices = notices
        self._shaping = Shaping(spec, live=True)
        self._closing = threading.Event()
        self._connection: Handover[Frame | None] | None = None
        self._finished = False

    def frames(self) -> Iterator[Frame]:
        """See Source.frames."""
        failures = 0
        while not self._closing.is_set():
            connection = self._connection = Handover(self._connect)
            if self._closing.is_set():  # by `close`, before it could see this connection
                connection.abandon()
            patience = partial(_patience_s, connection, time.monotonic())
            reason, refused = "the stream ended", False
            try:
                for frame in connection.items(patience):
                    if frame is None:
                        continue
                    if failures:
                        self._notices.back()
                        failures = 0
                    yield frame
            except TimeoutError:
                reason = f"no frame within {patience():.0f} s"
            except Broken as error:
                reason, refused = str(error), isinstance(error, Refused)
            except SourceError as error:
                if not self._shaping.count:
                    raise
                reason = str(error)  # it did fit once: cameras change their size when they are set up
            finally:
                connection.abandon()
            if self._finished or self._closing.is_set():
                return
            failures += 1
            if failures == 1:
                self._notices.lost(reason)
            self._wait(pause_s(failures, refused), connection)

    def close(self) -> None:
        """See Source.close. At once; what was opened is freed within 30 s by a background thread."""
        self._closing.set()
        if self._connection is not None:
            self._connection.abandon()

    def _connect(self) -> Generator[Frame | None, None, None]:
        self._shaping.clock.restart()
        with opened(self._spec, live=True) as video:
            # A stream is joined in the middle: what cannot be decoded before its first key frame is no damage.
            yield from video.frames(self._shaping, broken=lambda: None)
            self._finished = video.complete()

    def _wait(self, pause: float, connection: Handover[Frame | None]) -> None:
        """`pause` seconds, and until the last connection is gone: one thread a camera, however often it hangs."""
        self._closing.wait(pause)
        while not connection.ended and not self._closing.wait(LEAST_WAIT_S):
            pass


def _patience_s(connection: Handover[Any], began_s: float) -> float:
    """Seconds that a connection, begun at `began_s`, may be silent from now on."""
    if time.monotonic() - began_s < TIMEOUT_S:
        return TIMEOUT_S
    return min(TIMEOUT_S, max(LEAST_TIMEOUT_S, GAPS * connection.longest_wait_s))


def pause_s(failures: int, refused: bool) -> float:
    """Seconds before another try, after so many failures in a row.

    Longer with each, and at random, so that many cameras do not come back in step; at once the longest where user and
    password were refused.
    """
    if refused:
        return LONGEST_WAIT_S
    longest_s = min(LONGEST_WAIT_S, 2.0 ** min(failures - 1, 10))
    return random.uniform(LEAST_WAIT_S, longest_s)  # noqa: S311, no secret
