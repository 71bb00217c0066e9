"""A run: cameras, one server, one event loop, until all sources end or somebody stops it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from facegate.cameras.asking import Asker
from facegate.cameras.camera import Camera
from facegate.cameras.frame import Source
from facegate.cameras.gate import Gate
from facegate.cameras.mailbox import Mailbox, Mode
from facegate.cameras.recorder import Recorder
from facegate.cameras.records import AskedOf, CameraEvent
from facegate.cameras.server_notices import ServerNotices
from facegate.cameras.sinks.annotated_video import AnnotatedVideo
from facegate.cameras.sinks.output import Output
from facegate.cameras.sources.notices import SourceNotices
from facegate.cameras.stats import CameraSnapshot, CameraStats
from facegate.cameras.tracking.tracks import Tracks
from facegate.cameras.transports.carrier import Carrier, CarrierKind
from facegate.cameras.transports.choice import choose
from facegate.cameras.watch.watching import Watching
from facegate_client.async_client import AsyncFaceClient

Event = tuple[CameraEvent, str | None]


class SourceEvents:
    """One camera's SourceNotices: counted, told to the person at the terminal, and queued for its recorder."""

    def __init__(self, stats: CameraStats, say: Callable[[str], None]) -> None:
        """To be made in the event loop that reads `queue`."""
        self.queue: asyncio.Queue[Event] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._stats = stats
        self._say = say

    def lost(self, reason: str) -> None:
        """See SourceNotices."""
        never = self._stats.snapshot().read == 0
        self._stats.lost()
        self._put("lost", reason)
        self._say(f"{self._stats.camera} is {'not there yet' if never else 'lost'}: {reason}; it is tried again")

    def back(self) -> None:
        """See SourceNotices."""
        self._stats.back()
        self._put("back", None)
        self._say(f"{self._stats.camera} is there")

    def warned(self, what: str) -> None:
        """See SourceNotices."""
        self._say(f"{self._stats.camera}: {what}")

    skipped = warned

    def _put(self, event: CameraEvent, reason: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
            self._loop.call_soon_threadsafe(self.queue.put_nowait, (event, reason))


_BLACK = np.zeros((64, 64, 3), np.uint8)

T = TypeVar("T")
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
    carrier: CarrierKind = CarrierKind.auto
    admin_key: str | None = None
    photos: Sequence[Path] = ()
    threshold: float | None = None
    videos: Path | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not 0 <= self.judge_every_s < math.inf:
            raise ValueError(f"judge_every: expected seconds, 0 or more, got {self.judge_every_s}")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score: expected a number in 0-1, got {self.min_score}")
        if self.threshold is not None and not 0 < self.threshold <= 2:
            raise ValueError(f"threshold: expected a cosine distance in (0, 2], got {self.threshold}")
        if self.threshold is not None and not self.photos:
            raise ValueError("threshold: is for people to watch for, and there are none; name them with --watch")


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
            names = ", ".join(sorted(feed.name for feed in feeds))
            raise ValueError(f"two cameras have one name: {names}; give each a #name= of its own")
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
        settings = self._settings
        await self._client.analyze(
            _BLACK, anti_spoofing=settings.anti_spoofing, embeddings=False, min_score=settings.min_score
        )
        choice = await choose(
            settings.carrier, self._client, in_flight=settings.in_flight, admin_key=settings.admin_key
        )
        self._say(f"frames go {choice.reason}")
        watching = await self._watching()
        asked = AskedOf(
            anti_spoofing=settings.anti_spoofing,
            embeddings=settings.anti_spoofing or watching is not None,  # which tell when a track is another face
            min_score=settings.min_score,
            judge_every_s=settings.judge_every_s,
            transport=choice.reason,
        )
        works = [
            asyncio.create_task(self._camera(feed, stats, choice.make(), asked, watching))
            for feed, stats in zip(self._feeds, self._stats, strict=True)
        ]
        first: set[asyncio.Task[bool]] = set()
        try:
            first, _ = await asyncio.wait(works, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            if not all(work.done() for work in works):
                self._stop()
            await asyncio.gather(*works, return_exceptions=True)
        for work in [*first, *works]:  # what failed first is why others failed
            work.result()
        return all(work.result() for work in works)

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
        self, feed: Feed, stats: CameraStats, carrier: Carrier, asked: AskedOf, watching: Watching | None
    ) -> bool:
        """One camera, to its end; whether that was a good one."""
        events = SourceEvents(stats, self._say)
        source = feed.open(events)
        mode = feed.mode or (Mode.latest if source.live else Mode.every)
        async with AsyncExitStack() as stack:
            recorder = Recorder(stats, self._outputs, watching, self._video(feed, stack), self._say)
            camera = self._new_camera(source, mode, stats, carrier, recorder, asked)
            self._cameras.append(camera)
            if self._stopped:
                camera.stop()
            await recorder.tell("started", asked=asked)
            ended = await _while(camera.run(), _tell(events, recorder))
            while not events.queue.empty():
                await recorder.tell(*events.queue.get_nowait())
            await recorder.ended(ended, time.time())
            fault = str(camera.fault) if camera.fault else _unanswered(mode, stats)
            if fault is None:
                stats.ended()
                await recorder.tell("ended")
                return True
            stats.failed_for_good()
            self._say(f"{feed.name}: {fault}")
            await recorder.tell("failed", fault)
            return False

    def _new_camera(
        self, source: Source, mode: Mode, stats: CameraStats, carrier: Carrier, recorder: Recorder, asked: AskedOf
    ) -> Camera:
        return Camera(
            source=source,
            mailbox=Mailbox(mode, stats),
            asker=Asker(stats.camera, mode, self._client, self._gate, self._server),
            carrier=carrier,
            tracks=Tracks(
                anti_spoofing=asked["anti_spoofing"],
                embeddings=asked["embeddings"],
                judge_every_s=asked["judge_every_s"],
            ),
            stats=stats,
            asked=asked,
            deliver=recorder.deliver,
            in_flight=self._settings.in_flight,
        )

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
        for output in self._outputs:
            output.hurry()
        for camera in self._cameras:
            camera.stop()


def _unanswered(mode: Mode, stats: CameraStats) -> str | None:
    """That frames have no result: any, where each should have one, or all of them."""
    counts = stats.snapshot()
    if not counts.failed or (mode is Mode.latest and counts.answered):
        return None
    return f"{counts.failed} of {counts.sent} frames have no result"


async def _tell(events: SourceEvents, recorder: Recorder) -> NoReturn:
    while True:
        await recorder.tell(*await events.queue.get())


async def _while(work: Coroutine[Any, Any, T], other: Coroutine[Any, Any, NoReturn]) -> T:
    """What `work` comes to; `other` goes on meanwhile, and its failure ends both."""
    tasks = asyncio.ensure_future(work), asyncio.ensure_future(other)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[1].done():
            tasks[1].result()
        return await tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
