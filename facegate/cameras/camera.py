"""One camera: its frames are read, sent, followed, judged and written, in order."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from facegate.cameras.asking import Asker
from facegate.cameras.frame import Frame, Source, SourceError
from facegate.cameras.mailbox import Mailbox
from facegate.cameras.records import AskedOf
from facegate.cameras.sighting import Ended, Sighting
from facegate.cameras.stats import CameraStats
from facegate.cameras.tracking.tracks import Seen, Tracks
from facegate.cameras.transports.carrier import Carrier, CarrierError
from facegate_client.errors import FaceGateError, LivenessUnavailable
from facegate_client.results import Faces


@dataclass(frozen=True, slots=True)
class Result:
    """What a frame came to: its faces, none where the server did not answer, and the tracks that are over by it.

    Each sighting's track is up to date with this frame and with none that follows. `error` is why the frame, or the
    judgement of its faces, has no answer.
    """

    frame: Frame
    sightings: Sequence[Sighting]
    ended: Sequence[Ended]
    error: Exception | None


@dataclass(slots=True)
class _Turn:
    """How far a frame has come; the next one waits for it."""

    seen: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def over(self) -> _Turn:
        self.seen.set()
        self.done.set()
        return self


class Camera:
    """Runs one source to its end. `deliver` gets each frame's result, in the frames' order, and is awaited.

    At most `in_flight` frames are with the server at once.
    """

    def __init__(
        self,
        *,
        source: Source,
        mailbox: Mailbox,
        asker: Asker,
        carrier: Carrier,
        tracks: Tracks,
        stats: CameraStats,
        asked: AskedOf,
        deliver: Callable[[Result], Awaitable[None]],
        in_flight: int,
    ) -> None:
        self._source = source
        self._mailbox = mailbox
        self._asker = asker
        self._carrier = carrier
        self._tracks = tracks
        self._stats = stats
        self._asked = asked
        self._deliver = deliver
        self._in_flight = in_flight
        self._jobs: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self.fault: SourceError | None = None

    async def run(self) -> list[Ended]:
        """Until the source ends, fails (`fault`) or is stopped; gives the tracks that lasted to the end.

        Raises LivenessUnavailable where the liveness that was asked for is not served, and what `deliver` raises; the
        frames under way are then failed.
        """
        threading.Thread(target=self._read, name=f"camera {self._source.name}", daemon=True).start()
        self._feeding = asyncio.create_task(self._feed())
        try:
            await asyncio.wait([self._feeding])
        finally:
            self.stop()
            tasks = [self._feeding, *self._jobs]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._carrier.close()
        if self._failure is not None:
            raise self._failure
        self._feeding.result()
        return self._tracks.end()

    def stop(self) -> None:
        """Reads no more; what is with the server is waited for."""
        self._source.close()
        self._mailbox.close()
        self._asker.stop()

    async def _feed(self) -> None:
        """Makes a job of each frame."""
        before = _Turn().over()
        while await self._mailbox.filled():
            await self._asker.begin()
            frame = self._mailbox.take()
            if frame is None:
                self._asker.end()
                continue
            self._stats.sent()
            turn = _Turn()
            job = asyncio.create_task(self._analyse(frame, before, turn))
            self._jobs.add(job)
            job.add_done_callback(self._done)  # not in the job: one that is cancelled early runs no line of it
            before = turn
            if len(self._jobs) >= self._in_flight:
                await asyncio.wait(self._jobs, return_when=asyncio.FIRST_COMPLETED)
        while self._jobs:
            await asyncio.wait(self._jobs)

    def _done(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        self._asker.end()
        if job.cancelled():
            self._stats.failed("Cancelled")
        elif (error := job.exception()) is not None:
            self._stats.failed(type(error).__name__)
            self._failure = self._failure or error
            self._feeding.cancel()

    async def _analyse(self, frame: Frame, before: _Turn, turn: _Turn) -> None:
        seen: Seen | None = None
        judged: Faces | None = None
        failure: Exception | None = None
        try:
            try:
                async with self._carrier.carry(frame.pixels) as image:
                    faces = await self._asker.analyze(
                        image, anti_spoofing=False, embeddings=False, min_score=self._asked["min_score"]
                    )
                    await before.seen.wait()
                    seen = self._tracks.see(frame, faces)
                    turn.seen.set()
                    if len(seen.due):
                        judged = await self._asker.analyze(
                            image,
                            faces=seen.due,
                            anti_spoofing=self._asked["anti_spoofing"],
                            embeddings=self._asked["embeddings"],
                        )
            except LivenessUnavailable:
                raise
            except (FaceGateError, CarrierError) as error:
                failure = error
                self._asker.give_up(error)
            await before.done.wait()
            await self._finish(frame, seen, judged, failure)
        finally:
            turn.over()

    async def _finish(self, frame: Frame, seen: Seen | None, judged: Faces | None, failure: Exception | None) -> None:
        sightings: Sequence[Sighting] = []
        try:
            if seen is not None:
                sightings = self._tracks.absorb(seen, judged)
        except FaceGateError as error:  # the answer is none to what was asked
            failure = error
            self._asker.give_up(error)
        if seen is not None:
            self._stats.sightings(sightings)
        await self._deliver(Result(frame, sightings, self._tracks.ended(), failure))
        if failure is None:
            self._stats.answered(time.monotonic() - frame.read_s)
        else:
            self._stats.failed(type(failure).__name__)

    def _read(self) -> None:
        try:
            for frame in self._source.frames():
                if not self._mailbox.put(frame):
                    break
        except SourceError as error:
            self.fault = error
        except Exception as error:  # a decoder's, of which it told nobody
            self.fault = SourceError(f"unexpected {type(error).__name__}: {error}")
        finally:
            self._mailbox.end()
