"""A camera's results as lines, to every output; who is who by the watch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from facegate.cameras.camera import Result
from facegate.cameras.frame import Frame
from facegate.cameras.records import (
    AppearanceRecord,
    AskedOf,
    CameraEvent,
    CameraRecord,
    FaceRecord,
    FrameRecord,
    Record,
    TrackRecord,
)
from facegate.cameras.sighting import Ended, Sighting
from facegate.cameras.sinks.annotated_video import AnnotatedVideo
from facegate.cameras.sinks.output import Output
from facegate.cameras.stats import CameraStats
from facegate.cameras.watch.watch import Match
from facegate.cameras.watch.watching import Watching


class Recorder:
    """One camera's. For the tasks of one event loop, one result at a time. Its methods raise OutputError.

    They wait where an output's reader is behind. `say` takes a line for each appearance.
    """

    def __init__(
        self,
        stats: CameraStats,
        outputs: Sequence[Output],
        watching: Watching | None,
        video: AnnotatedVideo | None,
        say: Callable[[str], None],
    ) -> None:
        self._stats = stats
        self._outputs = outputs
        self._watching = watching
        self._video = video
        self._say = say
        self._lost_for: str | None = None

    async def deliver(self, result: Result) -> None:
        """A frame's lines: its faces, appearances, what it is without them, and the tracks that are over by it."""
        frame = result.frame
        if self._watching is not None:
            await self._watching.keep(result.sightings)
        matches = [self._look(frame, sighting) for sighting in result.sightings]
        faces = [self._face(frame, *seen) for seen in zip(result.sightings, matches, strict=True)]
        for face, match in zip(faces, matches, strict=True):
            await self._write(face)
            if match.appearance is not None:
                await self._appear(match.appearance)
        if not faces or result.error is not None:
            await self._write(self._frame(frame, result.error))
        await self.ended(result.ended, frame.wall_s)
        if self._video is not None:
            await asyncio.to_thread(self._video.add, frame, faces)

    async def ended(self, tracks: Iterable[Ended], wall_s: float) -> None:
        """A line for each track that is over."""
        for ended in tracks:
            match = Match() if self._watching is None else self._watching.watch.forget(self._stats.camera, ended.track)
            self._stats.over(ended)
            await self._write(
                TrackRecord(
                    camera=self._stats.camera, wall_s=wall_s, who=match.who, distance=match.distance, **asdict(ended)
                )
            )

    async def tell(self, event: CameraEvent, reason: str | None = None, asked: AskedOf | None = None) -> None:
        """A line of what becomes of the camera; one that ends while it is lost has the loss's reason."""
        if event in ("lost", "back"):
            self._lost_for = reason
        now = self._stats.snapshot()
        await self._write(
            CameraRecord(
                camera=now.camera,
                wall_s=time.time(),
                event=event,
                reason=self._lost_for if reason is None else reason,
                asked=asked,
                read=now.read,
                sent=now.sent,
                dropped=now.dropped,
                answered=now.answered,
                failed=now.failed,
            )
        )

    async def _write(self, line: Record) -> None:
        for output in self._outputs:
            await output.write(line)

    async def _appear(self, line: AppearanceRecord) -> None:
        self._stats.appeared(line)
        self._say(in_words(line))
        await self._write(line)

    def _look(self, frame: Frame, sighting: Sighting) -> Match:
        if self._watching is None:
            return Match()
        return self._watching.watch.look(self._stats.camera, frame, sighting)

    def _frame(self, frame: Frame, error: Exception | None) -> FrameRecord:
        return FrameRecord(
            camera=self._stats.camera,
            wall_s=frame.wall_s,
            frame=frame.index,
            media_s=frame.media_s,
            error=None if error is None else type(error).__name__,
        )

    def _face(self, frame: Frame, sighting: Sighting, match: Match) -> FaceRecord:
        height, width = frame.pixels.shape[:2]
        judged = sighting.judgement
        return FaceRecord(
            camera=self._stats.camera,
            wall_s=frame.wall_s,
            frame=frame.index,
            media_s=frame.media_s,
            width=width,
            height=height,
            track=sighting.track,
            box=sighting.face.box,
            landmarks=sighting.face.landmarks,
            score=sighting.face.score,
            quality=sighting.quality,
            is_real=sighting.is_real,
            antispoof_score=sighting.antispoof_score,
            judgements=sighting.judgements,
            frame_is_real=None if judged is None else judged.is_real,
            frame_antispoof_score=None if judged is None else judged.antispoof_score,
            who=match.who,
            distance=match.distance,
        )


def in_words(line: AppearanceRecord) -> str:
    """An appearance for the person at the terminal."""
    far = line.distance >= line.threshold
    if line.verified:
        what = " appears, verified" + (", liveness not asked for" if line.is_real is None else "")
    elif line.is_real is False:
        what = ", NOT LIVE: not verified"
    else:
        what = ", no longer near enough: not verified" if far else ", whose photo is not live: not verified"
    return f"{line.camera}: {'revised: ' if line.revised else ''}{line.who}{what}, distance {line.distance:.2f}"
