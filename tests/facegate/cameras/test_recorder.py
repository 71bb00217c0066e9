"""A frame's lines, a camera's, and what the person at the terminal hears of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from facegate.cameras.camera import Result
from facegate.cameras.frame import Frame
from facegate.cameras.recorder import Recorder, in_words
from facegate.cameras.records import AskedOf, Record
from facegate.cameras.sighting import Ended, Sighting
from facegate.cameras.stats import CameraStats
from facegate.cameras.watch import watching as watching_module
from facegate.cameras.watch.watching import Watching
from facegate_client import Face, Faces, Model, Overloaded, Unreachable
from support.made_records import APPEARANCE

LANDMARKS = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (35.0, 80.0), (65.0, 80.0))
FACE = Face((0.0, 0.0, 100.0, 100.0), 0.9, LANDMARKS)
SEEN = Sighting(track=1, face=FACE, quality=0.5)
OVER = Ended(1, 0, 9, 0.0, 0.9, 10, 0.5, 3, None, None, 0)
ASKED: AskedOf = {
    "anti_spoofing": True,
    "embeddings": False,
    "min_score": None,
    "judge_every_s": 2.0,
    "transport": "raw pixels, as asked for",
}


class Kept:
    """An output that keeps what it gets."""

    def __init__(self) -> None:
        self.lines: list[Record] = []

    async def write(self, record: Record) -> None:
        await asyncio.sleep(0)
        self.lines.append(record)

    def hurry(self) -> None:
        pass

    async def close(self) -> None:
        pass


def result(
    sightings: Sequence[Sighting] = (), *, ended: Sequence[Ended] = (), error: Exception | None = None, index: int = 7
) -> Result:
    frame = Frame(index, index / 10, 1e9, 0.0, np.zeros((120, 160, 3), np.uint8))
    return Result(frame, sightings, ended, error)


def recorded(work: Callable[[Recorder], Coroutine[Any, Any, None]]) -> list[dict[str, Any]]:
    kept = Kept()
    asyncio.run(work(Recorder(CameraStats("door"), [kept], None, None, print)))
    return [line.as_dict() for line in kept.lines]


def delivered(*results: Result) -> list[dict[str, Any]]:
    async def work(recorder: Recorder) -> None:
        for each in results:
            await recorder.deliver(each)

    return recorded(work)


def test_a_frame_without_a_face_has_a_line() -> None:
    (line,) = delivered(result())
    assert (line["type"], line["camera"], line["frame"], line["media_s"]) == ("frame", "door", 7, 0.7)
    assert line["error"] is None


def test_a_frame_that_failed_has_a_line_of_the_error_s_kind_alone() -> None:
    (line,) = delivered(result(error=Overloaded("full of anna's secrets")))
    assert (line["type"], line["error"]) == ("frame", "Overloaded")
    assert "secrets" not in str(line)


def test_a_failed_judgement_is_told_beside_the_faces() -> None:
    face, frame = delivered(result([SEEN], error=Unreachable("away")))
    assert (face["type"], face["is_real"], face["frame_is_real"]) == ("face", None, None)
    assert (frame["type"], frame["error"]) == ("frame", "Unreachable")


def test_a_frame_with_faces_has_their_lines_and_the_tracks_that_are_over() -> None:
    lines = delivered(result([SEEN, replace(SEEN, track=2)], ended=[OVER]))
    assert [(line["type"], line["track"]) for line in lines] == [("face", 1), ("face", 2), ("track", 1)]


def test_what_was_asked_is_in_the_first_line_alone() -> None:
    async def work(recorder: Recorder) -> None:
        await recorder.tell("started", asked=ASKED)
        await recorder.tell("ended")

    started, ended = recorded(work)
    assert started["asked"] == ASKED
    assert ended["asked"] is None


@pytest.mark.parametrize(("came_back", "reason"), [(False, "no route"), (True, None)])
def test_who_ends_while_lost_says_why(came_back: bool, reason: str | None) -> None:
    async def work(recorder: Recorder) -> None:
        await recorder.tell("started")
        await recorder.tell("lost", "no route")
        if came_back:
            await recorder.tell("back")
        await recorder.tell("ended")

    assert recorded(work)[-1]["reason"] == reason


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "anna appears, verified, distance 0.31"),
        ({"is_real": None}, "anna appears, verified, liveness not asked for, distance 0.31"),
        ({"verified": False, "is_real": False}, "anna, NOT LIVE: not verified, distance 0.31"),
        ({"verified": False}, "anna, whose photo is not live: not verified, distance 0.31"),
        (
            {"verified": False, "distance": 0.7, "revised": True},
            "revised: anna, no longer near enough: not verified, distance 0.70",
        ),
    ],
)
def test_an_appearance_in_words(changed: dict[str, Any], words: str) -> None:
    assert in_words(replace(APPEARANCE, **changed)) == f"door: {words}"


class Describing:
    """A client that describes every photo alike, by nets that change."""

    def __init__(self) -> None:
        self.nets = "a" * 64
        self.error: Exception | None = None

    async def analyze(self, photo: Any, **options: Any) -> Faces:
        if self.error is not None:
            raise self.error
        face = replace(FACE, embedding=np.array([1, 0], np.float32))
        return Faces([face], Model("made", "MIT", True, "d" * 64, self.nets, "fp32", 0.4))


def test_appearances_are_written_and_said_and_other_nets_are_complained_of_once(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching_module, "AGAIN_S", 0.0)
    (tmp_path / "anna.jpg").touch()
    kept, said, client = Kept(), list[str](), Describing()

    def sighting(track: int, nets: str) -> Sighting:
        return replace(SEEN, track=track, embedding=np.array([1, 0], np.float32), embedding_digest=nets)

    async def main() -> None:
        watching = Watching(
            client,  # type: ignore[arg-type]
            [tmp_path / "anna.jpg"],
            anti_spoofing=False,
            threshold=0.4,
            say=said.append,
        )
        await watching.start()
        recorder = Recorder(CameraStats("door"), [kept], watching, None, said.append)
        await recorder.deliver(result([sighting(1, "a" * 64)]))
        client.error = Unreachable("away")
        for _ in range(3):
            await recorder.deliver(result([sighting(2, "b" * 64)]))
        client.error, client.nets = None, "b" * 64
        await recorder.deliver(result([sighting(2, "b" * 64)]))

    asyncio.run(main())
    assert said == [
        "door: anna appears, verified, liveness not asked for, distance 0.00",
        "the people to watch for cannot be loaded anew: away; nobody is recognised",
        "door: anna appears, verified, liveness not asked for, distance 0.00",
    ]
    assert [line.type for line in kept.lines] == ["face", "appearance", "face", "face", "face", "face", "appearance"]
