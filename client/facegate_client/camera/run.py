"""A run: cameras, one server, one event loop, until all sources end or somebody stops it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegate_client.async_client import AsyncFaceClient
from facegate_client.camera.annotated_video import AnnotatedVideo
from facegate_client.camera.asking import Asker
from facegate_client.camera.camera import Asked, Camera
from facegate_client.camera.carrier import Carrier
from facegate_client.camera.choice import Kind, choose
from facegate_client.camera.frame import Source
from facegate_client.camera.gate import Gate
from facegate_client.camera.mailbox import Mailbox, Mode
from facegate_client.camera.output import Output
from facegate_client.camera.recorder import Recorder
from facegate_client.camera.server_notices import ServerNotices
from facegate_client.camera.source_events import SourceEvents
from facegate_client.camera.source_notices import SourceNotices
from facegate_client.camera.stats import CameraSnapshot, CameraStats
from facegate_client.camera.tracks import Tracks
from facegate_client.camera.watching import Watching

_BLACK = np.zeros((64, 64, 3), np.uint8)

Opener = Callable[[SourceNotices], Source]


@dataclass(frozen=True, slots=True)
class Feed:
    """One camera to be: its name in all results, how its source is opened, and what is done with frames that are too
    many; where `mode` is None, the latest is taken of a live source and every one of another."""

    name: str
    open: Opener
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked of each camera's frames, and how they are sent.

    Every track is judged anew after `judge_every_s`; 0: in every frame. At most `in_flight` frames of a camera are with
    the server at once. `photos` show the people to watch for, `threshold` is the cosine distance below which somebody
    is one of them, the server's own where None. `videos` is a folder for annotated videos, named
    NUMBER-NAME-annotated.mp4 each.
    """

    anti_spoofing: bool = False
    min_score: float | None = None
    judge_every_s: float = 2.0
    in_flight: int = 2
    carrier: Kind = "auto"
    admin_key: str | None = None
    photos: Sequence[Path] = ()
    threshold: float | None = None
    videos: Path | None = None


class Run:
    """Cameras on one server. Made and used in one event loop; `stop` and `snapshots` are for any thread."""

    def __init__(
        self,
        client: AsyncFaceClient,
        feeds: Sequence[Feed],
        settings: Settings,
        outputs: Sequence[Output],
        *,
        say: Callable[[str], None],
    ) -> None:
        """`say` takes one-line notices, from any thread. Raises ValueError on two feeds of one name."""
        if len({feed.name for feed in feeds}) < len(feeds):
            raise ValueError(f"two cameras have one name: {', '.join(sorted(feed.name for feed in feeds))}")
        self._client = client
        self._settings = settings
        self._outputs = outputs
        self._say = say
        self._feeds = feeds
        self._stats = [CameraStats(feed.name) for feed in self._feeds]
        self._gate = Gate(settings.in_flight * len(feeds))
        self._server = ServerNotices(say)
        self._cameras: list[Camera] = []
        self._loop = asyncio.get_running_loop()
        self._stopped = False

    def snapshots(self) -> list[CameraSnapshot]:
        """Each camera's counts and times."""
        return [stats.snapshot() for stats in self._stats]

    def stop(self) -> None:
        """Ends all cameras: nothing more is read, what is with the server is waited for, and `run` returns."""
        self._loop.call_soon_threadsafe(self._stop)

    async def run(self) -> bool:
        """All cameras, to their end. Whether each ended well: one that fails says why, and the others go on.

        Raises FaceGateError where the server does not answer at the start, or has not what is asked for; WatchError,
        CarrierError and OutputError.
        """
        # A black picture, not readiness: it tells whether what will be asked can be answered.
        await self._client.analyze(_BLACK, anti_spoofing=self._settings.anti_spoofing, embeddings=False)
        settings = self._settings
        choice = await choose(
            settings.carrier, self._client, in_flight=settings.in_flight, admin_key=settings.admin_key
        )
        self._say(f"frames go by {choice.reason}")
        watching = await self._watching()
        works = [
            asyncio.create_task(self._camera(feed, stats, choice.make, watching))
            for feed, stats in zip(self._feeds, self._stats, strict=True)
        ]
        try:
            await asyncio.wait(works, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self._stop()
            ends = await asyncio.gather(*works, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return all(ends)

    async def _watching(self) -> Watching | None:
        settings = self._settings
        if not settings.photos:
            return None
        watching = Watching(
            self._client,
            settings.photos,
            anti_spoofing=settings.anti_spoofing,
            threshold=settings.threshold,
            say=self._say,
        )
        await watching.start()
        return watching

    async def _camera(
        self, feed: Feed, stats: CameraStats, new_carrier: Callable[[], Carrier], watching: Watching | None
    ) -> bool:
        """One camera, to its end; whether that was a good one."""
        settings = self._settings
        events = SourceEvents(stats, self._say)
        source = feed.open(events)
        mode = feed.mode or (Mode.latest if source.live else Mode.every)
        async with AsyncExitStack() as stack:
            video = self._video(feed, stack)
            recorder = Recorder(stats, self._outputs, watching, video)
            camera = Camera(
                source,
                Mailbox(mode, stats),
                Asker(feed.name, mode, self._client, self._gate, self._server),
                new_carrier(),
                Tracks(
                    anti_spoofing=settings.anti_spoofing,
                    embeddings=watching is not None,
                    judge_every_s=settings.judge_every_s,
                ),
                self._gate,
                stats,
                Asked(settings.anti_spoofing, watching is not None, settings.min_score),
                recorder.deliver,
                settings.in_flight,
            )
            self._cameras.append(camera)
            if self._stopped:
                camera.stop()
            recorder.tell("started")
            telling = asyncio.create_task(_tell(events, recorder))
            try:
                ended = await camera.run()
            finally:
                telling.cancel()
                with suppress(asyncio.CancelledError):
                    await telling
            recorder.ended(ended, time.time())
            fault = str(camera.fault) if camera.fault else _unanswered(feed.name, mode, stats)
            if fault is None:
                stats.ended()
                recorder.tell("ended")
                return True
            stats.failed_for_good()
            self._say(fault)
            recorder.tell("failed", fault)
            return False

    def _video(self, feed: Feed, stack: AsyncExitStack) -> AnnotatedVideo | None:
        if self._settings.videos is None:
            return None
        number = 1 + self._feeds.index(feed)
        name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in feed.name).lstrip(".")
        video = AnnotatedVideo(self._settings.videos / f"{number}-{name}-annotated.mp4")
        stack.push_async_callback(asyncio.to_thread, video.close)
        return video

    def _stop(self) -> None:
        self._stopped = True
        for camera in self._cameras:
            camera.stop()


def _unanswered(name: str, mode: Mode, stats: CameraStats) -> str | None:
    """That frames have no result, where each should have one."""
    counts = stats.snapshot()
    if mode is Mode.latest or not counts.failed:
        return None
    return f"{name}: {counts.failed} of {counts.sent} frames have no result"


async def _tell(events: SourceEvents, recorder: Recorder) -> None:
    while True:
        recorder.tell(*await events.queue.get())
