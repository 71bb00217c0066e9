"""Presentation times that only rise, whatever a stream's own do, and a frame-rate limit by them."""

from __future__ import annotations

import math

LONGEST_GAP_S = 10.0  # of a live source: one that gives no frame for longer is lost, so its clock was set anew
MOST_BEHIND_S = 1.0  # of the reading clock: a live stream whose times crawl would stop all that is due by time
MOST_AHEAD_S = 30.0  # of it: HLS gives its last three segments at once, usually of six to ten seconds
_LEAST_STEP_S = 0.001


class MediaClock:
    """Seconds since the first frame, always rising.

    A frame without a time of its own, or with one that is not later than the last (nor, if live, within ten seconds of
    it), is put `step_s` after the last in a file, and as long after it as it was read later if live. Times after it
    go on from there. If live, times are never more than a second behind the clock by which frames are read, counted
    from the connection's first frame, nor are a stream's own taken that are more than thirty ahead of it.
    """

    def __init__(self, live: bool) -> None:
        self._live = live
        self._last_s: float | None = None
        self._read_s = 0.0
        self._offset_s: float | None = None
        self._connected_s: float | None = None  # the reading clock's at media time 0, as this connection began

    def restart(self) -> None:
        """The stream's own times begin anew: a camera was connected again."""
        self._offset_s = self._connected_s = None

    def at(self, pts_s: float | None, read_s: float, step_s: float) -> float:
        """The time of the next frame. `pts_s` is the stream's, None where it has none; `read_s` is monotonic."""
        now_s = self._expected(read_s, step_s)
        if self._connected_s is None:
            self._connected_s = read_s - now_s
        clock_s = read_s - self._connected_s
        if pts_s is not None and self._last_s is not None and self._offset_s is not None:
            latest_s = min(self._last_s + LONGEST_GAP_S, clock_s + MOST_AHEAD_S) if self._live else math.inf
            if self._last_s < pts_s + self._offset_s <= latest_s:
                now_s = pts_s + self._offset_s
        if self._live:
            now_s = max(now_s, clock_s - MOST_BEHIND_S)
        self._offset_s = None if pts_s is None else now_s - pts_s
        self._last_s, self._read_s = now_s, read_s
        return now_s

    def _expected(self, read_s: float, step_s: float) -> float:
        if self._last_s is None:
            return 0.0
        return self._last_s + (max(read_s - self._read_s, _LEAST_STEP_S) if self._live else step_s)


class RateLimit:
    """Lets `fps` frames a second of media time through, on a grid that does not drift.

    The frame that is nearest to a due time passes, not the first after it: times are rounded (Matroska's to
    milliseconds), and a limit equal to the source's own rate is to drop nothing.
    """

    def __init__(self, fps: float | None) -> None:
        self._step_s = 0.0 if fps is None else 1 / fps
        self._due_s: float | None = None

    def passes(self, media_s: float, step_s: float) -> bool:
        """Whether the frame at this time is taken; to be asked once for each, in order. The next is `step_s` later."""
        if not self._step_s:
            return True
        if self._due_s is None:
            self._due_s = media_s
        if media_s < self._due_s - min(step_s, self._step_s) / 2:
            return False
        self._due_s += self._step_s
        if self._due_s <= media_s:  # a gap: what was due in it is not made up for
            self._due_s += self._step_s * math.floor((media_s - self._due_s) / self._step_s + 1)
        return True
