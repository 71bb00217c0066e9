"""Live cameras, which come and go."""

from __future__ import annotations

import random
import threading
from collections.abc import Generator, Iterator

from facegate_client.camera.frame import Frame, SourceError
from facegate_client.camera.sources.decoded import TIMEOUT_S, Broken, Refused, opened
from facegate_client.camera.sources.handover import Handover
from facegate_client.camera.sources.notices import SourceNotices
from facegate_client.camera.sources.shaping import Shaping
from facegate_client.camera.sources.spec import SourceSpec

LEAST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0


class LiveSource:
    """A `Source` that is connected to again and again, whenever it gives no frame for ten seconds or breaks off.

    `frames` ends with `close`, or where a stream over HTTP has reached the end that it declared; it raises SourceError
    only before the first frame, on what no waiting mends. Times go on over an outage by the clock, indices without a
    gap.
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
            reason, refused = "the stream ended", False
            try:
                for frame in connection.items(TIMEOUT_S):
                    if frame is None:
                        continue
                    if failures:
                        self._notices.back()
                        failures = 0
                    yield frame
            except TimeoutError:
                reason = f"no frame within {TIMEOUT_S:.0f} s"
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
        """See Source.close. At once; what was opened is freed within ten seconds by a thread that nobody waits for."""
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


def pause_s(failures: int, refused: bool) -> float:
    """Seconds before another try, after so many failures in a row.

    Longer with each, and at random, so that many cameras do not come back in step; at once the longest where user and
    password were refused.
    """
    if refused:
        return LONGEST_WAIT_S
    longest_s = min(LONGEST_WAIT_S, 2.0 ** min(failures - 1, 10))
    return random.uniform(LEAST_WAIT_S, longest_s)  # noqa: S311, no secret
