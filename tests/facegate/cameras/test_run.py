"""A run with a made client: order, counts, what is asked again, what ends it."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from facegate.cameras.asking import LATE_TRIES
from facegate.cameras.frame import Frame, SourceError
from facegate.cameras.gate import Gate
from facegate.cameras.mailbox import Mode
from facegate.cameras.records import CameraRecord, FaceRecord, Record, TrackRecord
from facegate.cameras.run import Feed, Run, Settings
from facegate.cameras.stats import CameraSnapshot
from facegate.cli.camera import _distinct
from facegate_client.errors import (
    DeadlineExceeded,
    FaceGateError,
    InvalidRequest,
    LivenessUnavailable,
    Overloaded,
    ServerFault,
    Unreachable,
)
from facegate_client.results import Face, Faces, Model

MODEL = Model("made", "MIT", True, "d" * 64, "e" * 64, "fp32", 0.4)


class Frames:
    """A source of `count` frames; each one's first pixel is its number."""

    def __init__(self, count: int, name: str = "door", live: bool = False, fault: str = "") -> None:
        self.name, self.live = name, live
        self._count, self._fault = count, fault
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        for index in range(self._count):
            if self._closed.wait(0.002 if self.live else 0):
                return
            pixels = np.full((120, 160, 3), index % 256, np.uint8)
            yield Frame(index, index / 10, time.time(), time.monotonic(), pixels)
        if self._fault:
            raise SourceError(self._fault)

    def close(self) -> None:
        self._closed.set()


class MadeClient:
    """An AsyncFaceClient that answers every frame with a face at a place of its own, after a random while."""

    url = "gate-server:8001"
    regions = None

    def __init__(self, refuse: Callable[[int, int], FaceGateError | None] = lambda frame, tries: None) -> None:
        self.calls: list[tuple[int, bool]] = []  # frame, whether it was judged
        self._refuse = refuse
        self._tries: dict[int, int] = {}
        self.busy = self.busiest = 0

    async def analyze(self, image: Any, *, faces: Any = None, anti_spoofing: bool = False, **options: Any) -> Faces:
        if image.shape == (64, 64, 3):  # whether there is a server
            return Faces([], MODEL)
        number = int(image[0, 0, 0])
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        await asyncio.sleep(random.random() / 200)
        self.busy -= 1
        self.calls.append((number, faces is not None))
        tries = self._tries[number] = self._tries.get(number, 0) + 1
        error = self._refuse(number, tries)
        if error is not None:
            raise error
        x = 10.0 + number / 10
        return Faces([_face(x, anti_spoofing)], MODEL)


def _face(x: float, judged: bool) -> Face:
    eyes = ((x + 12, 40.0), (x + 28, 40.0), (x + 20, 50.0), (x + 13, 58.0), (x + 27, 58.0))
    return Face((x, 20.0, x + 40, 70.0), 0.9, eyes, None, True if judged else None, 0.9 if judged else None)


class Kept:
    """An output that keeps what it gets."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def write(self, record: Record) -> None:
        self.records.append(record)

    def hurry(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def of(self, kind: type[Record]) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]


def go(
    client: MadeClient,
    *sources: Frames,
    mode: Mode | None = None,
    meanwhile: Callable[[Run], Awaitable[None]] | None = None,
    **settings: Any,
) -> tuple[bool, Kept, list[CameraSnapshot], list[str]]:
    said: list[str] = []
    kept = Kept()

    def feed(source: Frames) -> Feed:
        return Feed(source.name, lambda notices: source, mode)

    async def main() -> tuple[bool, list[CameraSnapshot]]:
        asked = Settings(**{"anti_spoofing": True, "carrier": "raw", **settings})
        run = Run(client, [feed(source) for source in sources], asked, [kept], say=said.append)  # type: ignore[arg-type]
        other = asyncio.ensure_future(meanwhile(run)) if meanwhile else None
        try:
            return await asyncio.wait_for(run.run(), 30), run.snapshots()
        finally:
            if other:
                other.cancel()

    well, snapshots = asyncio.run(main())
    return well, kept, snapshots, said


def adds_up(snapshots: Sequence[CameraSnapshot]) -> bool:
    return all(s.read == s.sent + s.dropped and s.sent == s.answered + s.failed for s in snapshots)


@pytest.mark.parametrize("in_flight", [1, 2, 4])
def test_every_frame_once_and_in_order_whenever_its_answer_comes(in_flight: int) -> None:
    client = MadeClient()
    well, kept, (snapshot,), _ = go(client, Frames(120), in_flight=in_flight)
    assert well
    assert [face.frame for face in kept.of(FaceRecord)] == list(range(120))
    assert sorted(frame for frame, judged in client.calls if not judged) == list(range(120))
    assert (snapshot.read, snapshot.sent, snapshot.answered, snapshot.dropped) == (120, 120, 120, 0)
    assert client.busiest <= in_flight
    assert in_flight == 1 or client.busiest > 1


def test_results_do_not_depend_on_when_answers_come() -> None:
    runs = [go(MadeClient(), Frames(80), in_flight=in_flight)[1].of(FaceRecord) for in_flight in (1, 2, 4)]
    timeless = [[{**face.as_dict(), "time": None} for face in run] for run in runs]
    assert timeless[0] == timeless[1] == timeless[2]


def test_a_track_is_judged_now_and_then_and_real_only_after_it() -> None:
    client = MadeClient()
    _, kept, _, _ = go(client, Frames(100), judge_every_s=2.0)
    faces = kept.of(FaceRecord)
    assert 3 <= sum(judged for _, judged in client.calls) <= 20
    assert faces[0].is_real is None and faces[-1].is_real is True
    assert all(face.judgements >= 3 for face in faces if face.is_real is not None)
    (track,) = kept.of(TrackRecord)
    assert (track.frames, track.is_real) == (100, True)


def test_without_anti_spoofing_nothing_is_judged_and_nobody_is_real_or_fake() -> None:
    client = MadeClient()
    _, kept, _, _ = go(client, Frames(30), anti_spoofing=False)
    assert not any(judged for _, judged in client.calls)
    assert {(face.is_real, face.antispoof_score) for face in kept.of(FaceRecord)} == {(None, None)}


def test_a_live_camera_drops_and_counts() -> None:
    _, kept, (snapshot,), _ = go(MadeClient(), Frames(200, live=True))
    frames = [face.frame for face in kept.of(FaceRecord)]
    assert frames == sorted(frames) and len(frames) == snapshot.answered
    assert snapshot.read == 200 and snapshot.dropped > 0 and adds_up([snapshot])


def test_every_asks_again_until_the_server_has_room() -> None:
    client = MadeClient(lambda frame, tries: Overloaded("full") if frame % 5 == 0 and tries < 3 else None)
    _, kept, (snapshot,), said = go(client, Frames(20))
    assert [face.frame for face in kept.of(FaceRecord)] == list(range(20))
    assert snapshot.answered == 20 and snapshot.failed == 0
    assert sum("the server is full" in line for line in said) == 1


def test_latest_gives_a_refused_frame_up() -> None:
    client = MadeClient(lambda frame, tries: Unreachable("gone") if 5 <= frame < 50 else None)
    _, kept, (snapshot,), said = go(client, Frames(250, live=True))
    assert snapshot.failed > 0 and snapshot.failures == {"Unreachable": snapshot.failed} and adds_up([snapshot])
    assert len(kept.of(FaceRecord)) == snapshot.answered
    assert [line for line in said if "gone" in line or "again" in line] == [
        "gone; cameras go on without results until it answers",
        "the server answers again",
    ]


def test_a_judgement_that_fails_leaves_the_face_not_checked() -> None:
    class NoJudge(MadeClient):
        async def analyze(self, image: Any, *, faces: Any = None, **options: Any) -> Faces:
            if faces is not None:
                raise ServerFault("broken")
            return await super().analyze(image, **options)

    _, kept, (snapshot,), said = go(NoJudge(), Frames(20))
    assert {(face.is_real, face.judgements) for face in kept.of(FaceRecord)} == {(None, 0)}
    assert len(kept.of(FaceRecord)) == 20 and snapshot.failed > 3 and adds_up([snapshot])
    assert said.count("door: a frame without result: broken") == 1


def test_a_frame_that_the_server_will_not_have_is_not_sent_again() -> None:
    client = MadeClient(lambda frame, tries: InvalidRequest("too odd") if frame == 3 else None)
    well, kept, (snapshot,), said = go(client, Frames(10))
    assert not well and said[-2:] == ["door: a frame without result: too odd", "door: 1 of 10 frames have no result"]
    assert [face.frame for face in kept.of(FaceRecord)] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert (snapshot.answered, snapshot.failures) == (9, {"InvalidRequest": 1})


def test_liveness_that_is_not_served_ends_the_run() -> None:
    client = MadeClient(lambda frame, tries: LivenessUnavailable("no nets") if frame == 4 and tries == 1 else None)
    with pytest.raises(LivenessUnavailable, match="no nets"):
        go(client, Frames(10_000), Frames(10_000, name="gate"))


def test_a_failure_is_noticed_while_the_camera_is_quiet() -> None:
    class Quiet(Frames):
        def frames(self) -> Iterator[Frame]:
            yield next(super().frames())
            self._closed.wait()

    client = MadeClient(lambda frame, tries: LivenessUnavailable("no nets"))
    with pytest.raises(LivenessUnavailable, match="no nets"):
        go(client, Quiet(1, live=True))


def test_permits_are_given_back_when_jobs_fail_and_are_cancelled() -> None:
    """One camera's failure finds the others waiting for the only permit."""

    class Unlike(MadeClient):
        async def analyze(self, image: Any, *, faces: Any = None, **options: Any) -> Faces:
            if faces is not None:
                raise LivenessUnavailable("no nets")
            return await super().analyze(image, **options)

    for _ in range(10):
        sources = [Frames(200, name=name, live=True) for name in "abcdefgh"]
        with pytest.raises(LivenessUnavailable):
            go(Unlike(lambda frame, tries: Overloaded("full") if frame < 2 else None), *sources)


def test_every_gives_up_a_frame_that_is_always_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "refused", lambda gate: 0.0)
    client = MadeClient(lambda frame, tries: DeadlineExceeded("late") if frame == 3 else None)
    well, _, (snapshot,), _ = go(client, Frames(10))
    assert not well and (snapshot.answered, snapshot.failures) == (9, {"DeadlineExceeded": 1})
    assert sum(frame == 3 for frame, _ in client.calls) == LATE_TRIES


def test_a_camera_of_which_nothing_is_answered_has_failed() -> None:
    client = MadeClient(lambda frame, tries: InvalidRequest("min_score: 7 is too much"))
    well, _, _, said = go(client, Frames(20, live=True))
    assert not well and "have no result" in said[-1]


def test_an_absent_server_ends_the_run_before_anything_is_read() -> None:
    class Absent(MadeClient):
        async def analyze(self, image: Any, **options: Any) -> Faces:
            raise Unreachable("nobody at gate-server:8001")

    source = Frames(5)
    with pytest.raises(Unreachable, match="gate-server"):
        go(Absent(), source)


def test_a_source_that_fails_says_so_and_the_others_go_on() -> None:
    bad = Frames(3, name="bad", fault="cannot be read any further")
    well, kept, snapshots, said = go(MadeClient(), bad, Frames(50, name="good"))
    assert not well and "bad: cannot be read any further" in said
    events = [(record.camera, record.event, record.reason) for record in kept.of(CameraRecord)]
    assert ("bad", "failed", "cannot be read any further") in events and ("good", "ended", None) in events
    assert [snapshot.answered for snapshot in snapshots] == [3, 50] and adds_up(snapshots)


def test_a_stop_waits_for_what_is_under_way_and_counts_the_rest() -> None:
    async def stop(run: Run) -> None:
        await asyncio.sleep(0.3)
        run.stop()

    well, kept, snapshots, _ = go(MadeClient(), Frames(10_000), Frames(100_000, name="live", live=True), meanwhile=stop)
    assert well and adds_up(snapshots)
    assert all(0 < snapshot.answered < 10_000 for snapshot in snapshots)
    assert {record.event for record in kept.of(CameraRecord)} == {"started", "ended"}
    assert len(kept.of(TrackRecord)) == 2


def test_a_stop_while_the_server_is_away_ends_soon() -> None:
    async def stop(run: Run) -> None:
        await asyncio.sleep(0.2)
        run.stop()

    away = MadeClient(lambda frame, tries: Unreachable("away"))
    _, _, (snapshot,), _ = go(away, Frames(100), meanwhile=stop)
    assert snapshot.answered == 0 < snapshot.failed and adds_up([snapshot])


def test_two_cameras_of_one_name_would_be_taken_for_one() -> None:
    with pytest.raises(ValueError, match="two cameras have one name: door, door"):
        go(MadeClient(), Frames(3), Frames(3))


@pytest.mark.parametrize(
    ("names", "distinct"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a-2", "a-3"]),
        (["a", "a", "a-2", "a-2"], ["a", "a-3", "a-2", "a-2-2"]),
    ],
)
def test_the_command_tells_cameras_of_one_name_apart(names: list[str], distinct: list[str]) -> None:
    assert _distinct(names) == distinct


def test_an_output_that_fails_ends_the_run() -> None:
    class Full(Kept):
        async def write(self, record: Record) -> None:
            if len(self.records) > 10:
                raise OSError(28, "No space left on device")
            await super().write(record)

    async def main() -> None:
        feed = Feed("door", lambda notices: Frames(10_000))
        run = Run(MadeClient(), [feed], Settings(carrier="raw"), [Full()], say=lambda line: None)  # type: ignore[arg-type]
        await asyncio.wait_for(run.run(), 30)

    with pytest.raises(OSError, match="No space"):
        asyncio.run(main())
