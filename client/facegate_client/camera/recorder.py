"""A camera's results as lines, to every output; who is who by the watch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Literal

from facegate_client.camera.annotated_video import AnnotatedVideo
from facegate_client.camera.camera import Result
from facegate_client.camera.frame import Frame
from facegate_client.camera.output import Output
from facegate_client.camera.records import FaceRecord, TrackRecord
from facegate_client.camera.sighting import Ended, Sighting
from facegate_client.camera.stats import CameraStats
from facegate_client.camera.watch import Match
from facegate_client.camera.watching import Watching


class Recorder:
    """One camera's. For the tasks of one event loop, one result at a time. Its methods raise OutputError."""

    def __init__(
        self, stats: CameraStats, outputs: Sequence[Output], watching: Watching | None, video: AnnotatedVideo | None
    ) -> None:
        self._stats = stats
        self._outputs = outputs
        self._watching = watching
        self._video = video

    async def deliver(self, result: Result) -> None:
        """A frame's lines: its faces, appearances, and the tracks that are over by it."""
        frame = result.frame
        if self._watching is not None:
            await self._watching.keep(result.sightings)
        faces = [self._face(frame, sighting) for sighting in result.sightings]
        self.ended(result.ended, frame.wall_s)
        if self._video is not None:
            await asyncio.to_thread(self._video.add, frame, faces)

    def ended(self, tracks: Iterable[Ended], wall_s: float) -> None:
        """A line for each track that is over."""
        for ended in tracks:
            match = Match() if self._watching is None else self._watching.watch.forget(self._stats.camera, ended.track)
            line = TrackRecord(
                camera=self._stats.camera, wall_s=wall_s, who=match.who, distance=match.distance, **asdict(ended)
            )
            for output in self._outputs:
                output.write(line)

    def tell(self, event: Literal["started", "lost", "back", "ended", "failed"], reason: str | None = None) -> None:
        """A line of what becomes of the camera."""
        line = self._stats.snapshot().record(event, reason, wall_s=time.time())
        for output in self._outputs:
            output.write(line)

    def _face(self, frame: Frame, sighting: Sighting) -> FaceRecord:
        watching = self._watching
        match = Match() if watching is None else watching.watch.look(self._stats.camera, frame, sighting)
        height, width = frame.pixels.shape[:2]
        judged = sighting.judgement
        line = FaceRecord(
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
        for output in self._outputs:
            output.write(line)
            if match.appearance is not None:
                output.write(match.appearance)
        if match.appearance is not None:
            self._stats.appeared(match.appearance)
        return line
