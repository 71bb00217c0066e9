"""A camera's counts, times and state, kept once; the live table and the metrics read them as snapshots."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from facegate.cameras.latency import Latencies, LatencySnapshot
from facegate.cameras.records import AppearanceRecord
from facegate.cameras.sighting import Ended, Sighting

State = Literal["starting", "running", "lost", "ended", "failed"]
Verdict = Literal["real", "fake", "not_checked"]
VERDICTS: tuple[Verdict, ...] = ("real", "fake", "not_checked")


@dataclass(frozen=True, slots=True)
class CameraSnapshot:
    """One camera at one moment. What is counted is so since the start.

    Frames: `read` = `sent` + `dropped` + those that wait, `sent` = `answered` + `failed` + those under way. `failures`
    has the failed ones by the error's class name. `detections` are faces in answered frames; `judgements` those that
    the server was asked to judge, by its answer on that frame; `tracks` the faces of the latest frame by their track's
    verdict; `tracks_so_far` all tracks, those that are over too, by their last verdict; `appearances` the appearance
    lines by `verified`, revised ones too. `outages`: how often it was lost.
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
    tracks_so_far: Mapping[Verdict, int]
    appearances: Mapping[bool, int]
    outages: int
    latency: LatencySnapshot


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
        self._over: dict[Verdict, int] = dict.fromkeys(VERDICTS, 0)
        self._live: dict[int, Verdict] = {}  # each track that is not over
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
                self._live[sighting.track] = verdict(sighting.is_real)
                self._detections += 1
                if sighting.judgement is not None:
                    self._judgements[verdict(sighting.judgement.is_real)] += 1
            self._tracks = tracks

    def over(self, track: Ended) -> None:
        """It will not be seen again."""
        with self._lock:
            self._live.pop(track.track, None)
            self._over[verdict(track.is_real)] += 1

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
            frames, live = self._frames, Counter(self._live.values())
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
                tracks_so_far={word: self._over[word] + live[word] for word in VERDICTS},
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
