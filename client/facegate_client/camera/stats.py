"""A camera's counts, times and state, kept once; the live table and the metrics read them as snapshots."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from facegate_client.camera.latency import Latencies, LatencySnapshot
from facegate_client.camera.records import AppearanceRecord, CameraRecord
from facegate_client.camera.sighting import Sighting

State = Literal["starting", "running", "lost", "ended", "failed"]
Verdict = Literal["real", "fake", "not_checked"]
VERDICTS: tuple[Verdict, ...] = ("real", "fake", "not_checked")


@dataclass(frozen=True, slots=True)
class CameraSnapshot:
    """One camera at one moment. What is counted is so since the start, and only grows.

    Frames: `read` = `sent` + `dropped` + those that wait, `sent` = `answered` + `failed` + those under way. `failures`
    has the failed ones by the error's class name. `detections` are faces in answered frames; `judgements` those that
    the server was asked to judge, by its answer on that frame; `tracks` the faces of the latest frame by their track's
    verdict; `appearances` the appearance lines by `verified`, revised ones too. `outages`: how often it was lost.
    """

    camera: str
    state: State
    read: int
    sent: int
    dropped: int
    answered: int
    failed: int
    failures: Mapping[str, int]
    detections: int
    judgements: Mapping[Verdict, int]
    tracks: Mapping[Verdict, int]
    appearances: Mapping[bool, int]
    outages: int
    latency: LatencySnapshot

    def record(
        self,
        event: Literal["started", "lost", "back", "ended", "failed"],
        reason: str | None = None,
        *,
        wall_s: float | None = None,
    ) -> CameraRecord:
        """The line that tells of `event` with the counts so far; now, where no Unix time is given."""
        return CameraRecord(
            camera=self.camera,
            wall_s=time.time() if wall_s is None else wall_s,
            event=event,
            reason=reason,
            read=self.read,
            sent=self.sent,
            dropped=self.dropped,
            answered=self.answered,
            failed=self.failed,
        )


class CameraStats:
    """One camera's, for whoever moves its frames to tell. From any thread; nothing here takes long."""

    def __init__(self, camera: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.camera = camera
        self._clock = clock
        self._lock = threading.Lock()
        self._state: State = "starting"
        self._frames: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._judgements: dict[Verdict, int] = dict.fromkeys(VERDICTS, 0)
        self._tracks: dict[Verdict, int] = dict.fromkeys(VERDICTS, 0)
        self._appearances = {True: 0, False: 0}
        self._detections = self._outages = 0
        self._latencies = Latencies(clock())

    def read(self) -> None:
        """The source gave a frame."""
        with self._lock:
            self._frames["read"] += 1
            if self._state == "starting":
                self._state = "running"

    def dropped(self) -> None:
        """A frame gave way to a newer one."""
        self._count("dropped")

    def sent(self) -> None:
        """A frame is on its way to the server."""
        self._count("sent")

    def answered(self, latency_s: float) -> None:
        """A frame has its result, `latency_s` seconds after it was read."""
        with self._lock:
            self._frames["answered"] += 1
            self._latencies.add(self._clock(), latency_s)

    def failed(self, kind: str) -> None:
        """A frame has none; `kind` is the error's class name, no message."""
        with self._lock:
            self._frames["failed"] += 1
            self._failures[kind] += 1

    def sightings(self, seen: Iterable[Sighting]) -> None:
        """The faces of the latest answered frame."""
        tracks: dict[Verdict, int] = dict.fromkeys(VERDICTS, 0)
        with self._lock:
            for sighting in seen:
                tracks[verdict(sighting.is_real)] += 1
                self._detections += 1
                if sighting.judgement is not None:
                    self._judgements[verdict(sighting.judgement.is_real)] += 1
            self._tracks = tracks

    def appeared(self, line: AppearanceRecord) -> None:
        """A watched person's appearance, new or revised, was written."""
        with self._lock:
            self._appearances[line.verified] += 1

    def lost(self) -> None:
        """The source gives nothing, and tries to come back."""
        with self._lock:
            self._outages += self._state != "lost"
            self._rest("lost")

    def back(self) -> None:
        """It gives frames again."""
        with self._lock:
            self._state = "running"

    def ended(self) -> None:
        """Its end was reached, or it was told to stop."""
        with self._lock:
            self._rest("ended")

    def failed_for_good(self) -> None:
        """It will give nothing more, and that is an error."""
        with self._lock:
            self._rest("failed")

    def snapshot(self) -> CameraSnapshot:
        """All of it at one moment."""
        with self._lock:
            frames = self._frames
            return CameraSnapshot(
                camera=self.camera,
                state=self._state,
                read=frames["read"],
                sent=frames["sent"],
                dropped=frames["dropped"],
                answered=frames["answered"],
                failed=frames["failed"],
                failures=dict(self._failures),
                detections=self._detections,
                judgements=dict(self._judgements),
                tracks=dict(self._tracks),
                appearances=dict(self._appearances),
                outages=self._outages,
                latency=self._latencies.snapshot(self._clock()),
            )

    def _count(self, outcome: str) -> None:
        with self._lock:
            self._frames[outcome] += 1

    def _rest(self, state: State) -> None:
        self._state = state
        self._tracks = dict.fromkeys(VERDICTS, 0)  # nobody is seen


def verdict(is_real: bool | None) -> Verdict:
    """The word for a liveness, as metrics and tables have it; None is never fake."""
    if is_real is None:
        return "not_checked"
    return "real" if is_real else "fake"
