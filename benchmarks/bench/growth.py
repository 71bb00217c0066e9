"""What a request costs as work grows: with faces, with pixels, with callers, with cameras.

"One more face" is what an image's time at saturation grows by with each face in it, over what that face's three nets
alone take at their best on the same cores, measured in turns. It is 1 for a pipeline that adds nothing to the nets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.bench import arrivals
from benchmarks.bench.cases import ANALYZE, Asker, Case, Runs, spread, wanted
from benchmarks.bench.pictures import made, picture
from benchmarks.bench.pipeline import ROOFLINE_SECONDS, SATURATION, WARM_UP
from benchmarks.bench.roofline import Rates, Roofline
from benchmarks.bench.served import served
from facegate.build.build import build
from facegate.cli.options import DEFAULT_PACK
from facegate.packs.shipped import pack_named

FRAMES_PER_SECOND = 10.0
KEPT_UP = 0.95
"""Cameras' answers fall behind when less of their frames than this are answered in time, when one is not answered, or
when p99 is longer than a camera's frame lasts."""

CAMERA_SECONDS = 4.0
CAMERA_FRAMES = 220
"""At least, of a run of cameras and of its repeats together."""

MOST_FOR_A_FACE = 1.2

ENDS = (1, SATURATION)
"""Callers, where something else grows."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured; `megapixels` are of pictures of 4:3. A run lasts `seconds` after its warm-up."""

    seconds: float
    repeats: int
    faces: tuple[int, ...]
    megapixels: tuple[float, ...]
    callers: tuple[int, ...]
    cameras: tuple[int, ...]
    camera_repeats: int


FULL = Plan(
    seconds=1.5,
    repeats=3,
    faces=(0, 1, 2, 6, 12, 30),
    megapixels=(0.3, 1.0, 3.0, 6.0, 12.0),
    callers=(1, 2, 4, 8, 16, 32),
    cameras=(1, 2, 4, 6, 7, 8, 9, 10, 11, 12, 14, 16, 20, 24, 32, 48, 64),
    camera_repeats=2,
)
QUICK = Plan(
    seconds=1.0,
    repeats=2,
    faces=(0, 1, 6),
    megapixels=(0.3, 3.0),
    callers=(1, 2, 8),
    cameras=(2, 4, 8, 16, 32),
    camera_repeats=1,
)


def measure(quick: bool) -> list[dict[str, Any]]:
    """A row for each number of faces, pixels, callers and cameras, and what one more face costs; all with liveness."""
    plan = QUICK if quick else FULL
    roofline = Roofline(build(pack_named(DEFAULT_PACK)), picture("640x480", 1))
    faces = [_asked("faces", _faces(each), few) for each in plan.faces for few in ENDS]
    pixels = [_asked("pixels", _pixels(each), few) for each in plan.megapixels for few in ENDS]
    callers = [_asked("callers", _faces(1), each) for each in plan.callers]
    frames = Case(ANALYZE, picture("640x480", 1, encoded=False))
    with served() as server:  # every picture is there by now
        asker = Asker(server, plan.seconds, WARM_UP)
        return [
            *_by_faces(asker, roofline, faces, plan.repeats),
            *_rows(asker, pixels, plan.repeats),
            *_rows(asker, callers, plan.repeats),
            _more_callers(callers),
            *_by_cameras(asker, frames, plan),
        ]


def _faces(faces: int) -> Case:
    return Case(ANALYZE, picture("640x480", faces))


def _pixels(megapixels: float) -> Case:
    height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
    return Case(ANALYZE, made(f"{megapixels:g} MP", height, round(height * 4 / 3), 1, encoded=True))


def _asked(kind: str, case: Case, callers: int) -> Runs:
    return Runs(case, kind, {"callers": callers})


def _rows(asker: Asker, asked: Sequence[Runs], repeats: int) -> Iterator[dict[str, Any]]:
    for _ in range(repeats):
        _turn(asker, asked)
    yield from (runs.row() for runs in asked)


def _turn(asker: Asker, asked: Iterable[Runs]) -> None:
    for runs in asked:
        runs.of.append(asker.closed(runs.case, int(runs.level["callers"])))


def _more_callers(asked: Sequence[Runs]) -> dict[str, Any]:
    """Callers beyond the cores wait, and must not make the server slower."""
    few, many = ([run.result.throughput for run in runs.of] for runs in asked if runs.level["callers"] in (2, 8))
    ratio = spread([one / other for one, other in zip(many, few, strict=True)])
    row = {"kind": "ratio", "of": "throughput of 8 callers over 2 callers", "case": asked[0].case.name, "ratio": ratio}
    return row | wanted(ratio["median"], ">=", 1.0)


def _by_faces(asker: Asker, roofline: Roofline, asked: Sequence[Runs], repeats: int) -> Iterator[dict[str, Any]]:
    full = [runs for runs in asked if runs.level["callers"] == SATURATION]
    alone = []
    for _ in range(repeats):
        before = roofline.measure(ROOFLINE_SECONDS)
        _turn(asker, asked)
        after = roofline.measure(ROOFLINE_SECONDS)
        alone.append((_face_seconds(before) + _face_seconds(after)) / 2)
    yield from (runs.row() for runs in asked)
    costs = [
        one_more_face([(runs.case.faces, runs.of[turn].result.throughput) for runs in full]) for turn in range(repeats)
    ]
    ratio = spread([cost / nets for cost, nets in zip(costs, alone, strict=True)])
    yield {
        "kind": "ratio",
        "of": "one more face in an image over its three nets alone",
        "ratio": ratio,
        "face_ms": spread([cost * 1e3 for cost in costs]),
        "nets_alone_ms": spread([nets * 1e3 for nets in alone]),
        **wanted(ratio["median"], "<=", MOST_FOR_A_FACE),
    }


def _face_seconds(rates: Rates) -> float:
    """Of the whole machine, for the three nets of one face."""
    return 1 / rates.recognizer + 1 / rates.minifasnet_v2 + 1 / rates.minifasnet_v1se


def one_more_face(throughputs: Iterable[tuple[int, float]]) -> float:
    """Seconds that a request takes longer with each face in it, by least squares over (faces, requests a second).

    >>> round(one_more_face([(0, 100.0), (1, 50.0), (3, 25.0)]), 6)
    0.01
    """
    faces, rates = zip(*throughputs, strict=True)
    return float(np.polyfit(faces, 1 / np.array(rates), 1)[0])


def _by_cameras(asker: Asker, case: Case, plan: Plan) -> Iterator[dict[str, Any]]:
    """More and more cameras that send raw frames, until their answers fall behind."""
    most = 0
    for count in plan.cameras:
        runs = Runs(case, "cameras", {"cameras": count, "frames_per_second": FRAMES_PER_SECOND})
        rate = count * FRAMES_PER_SECOND
        seconds = max(CAMERA_SECONDS, CAMERA_FRAMES / plan.camera_repeats / rate)
        for turn in range(plan.camera_repeats):
            due = arrivals.cameras(count, FRAMES_PER_SECOND, asker.warm_up + seconds, seed=turn)
            runs.of.append(asker.opened(case, due, seconds))
        row = runs.row()
        in_time = row["p99_ms"] is not None and row["p99_ms"]["median"] <= 1000 / FRAMES_PER_SECOND
        kept_up = not row["errors"] and in_time and row["throughput"]["median"] >= KEPT_UP * rate
        yield {**row, "kept_up": kept_up}
        if not kept_up:
            break
        most = count
    yield {"kind": "limit", "of": "cameras kept up with", "frames_per_second": FRAMES_PER_SECOND, "cameras": most}
