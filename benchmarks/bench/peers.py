"""Ours and others' ways to verify with liveness, in turns on the same pictures: `python -m benchmarks peers`.

Our server is asked through gRPC by one caller and by eight; what the others are is said in plain.py, good_plain.py and
packages.py. All that take part are there at once and take turns, the order reversed in every other round, and one
round's turns are divided by each other. Before time is taken, what runs our nets has to come to our server's verdicts,
and within NEAR to its distances, on all pairs of the sample pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal

from benchmarks.bench import ours
from benchmarks.bench.good_plain import GoodPlainWay, good_plain_ways
from benchmarks.bench.packages import PACKAGES, package_way
from benchmarks.bench.peer import Pair, Said, Turn, Verdict, Way, turn
from benchmarks.bench.pictures import SIZES, picture
from benchmarks.bench.plain import plain_way
from benchmarks.bench.served import served
from benchmarks.bench.spread import spread
from facegate.build.build import fetch_pack
from facegate.cli.options import DEFAULT_PACK
from facegate.errors import ServeError
from facegate.packs.shipped import pack_named, sample_pictures
from facegate_ensemble.runtime.cores import cores

MANY = 8
"""Callers that keep a server busy."""

NEAR = 0.01
"""Cosine distances of the same nets may differ by so much: detectors at other sizes find slightly other landmarks."""

QUICK_SIZES = ("640x480", "3MP")

Task = Literal["verify", "detect"]
Row = dict[str, Any]
Turns = dict[tuple[str, int], list[Turn]]
"""By name and callers, a turn for each round."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who takes part in what, and with how many callers."""

    name: str
    task: Task
    way: Way
    callers: tuple[int, ...] = (1,)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours over another's, by name and callers: of `figure`, a field of Turn. `wanted` is by size, where it is said."""

    of: str
    ours: tuple[str, int]
    other: tuple[str, int]
    figure: str
    wanted: Mapping[str, tuple[Literal[">=", "<="], float]]


OURS, OUR_DETECTION = "FaceGate", "FaceGate, detection only"
PLAIN, GOOD_PLAIN, GOOD_PLAINS = "plain way", "good plain way", "good plain way, a process for each core"
PACKAGED = UNIFACE, INSIGHTFACE = [package.replace("==", " ") for package in PACKAGES]

OUR_NETS = (PLAIN, GOOD_PLAIN, GOOD_PLAINS)

RATIOS = (
    Ratio(f"throughput of {MANY} callers over the plain way's of {MANY}", (OURS, MANY), (PLAIN, MANY), "per_second",
          {"640x480": (">=", 3.0), "3MP": (">=", 10.0)}),
    Ratio(f"throughput of {MANY} callers over the good plain way's of one", (OURS, MANY), (GOOD_PLAIN, 1), "per_second",
          {"640x480": (">=", 1.7)}),
    Ratio(f"throughput of {MANY} callers over the good plain way's, a process for each core", (OURS, MANY),
          (GOOD_PLAINS, cores()), "per_second", {}),
    Ratio("p50 of one caller over the good plain way's", (OURS, 1), (GOOD_PLAIN, 1), "p50_ms",
          {"640x480": ("<=", 0.7)}),
    Ratio("p50 of one caller over the plain way's", (OURS, 1), (PLAIN, 1), "p50_ms", {}),
    Ratio(f"throughput of {MANY} callers over uniface's of one", (OURS, MANY), (UNIFACE, 1), "per_second", {}),
    Ratio("p50 of one caller over uniface's", (OURS, 1), (UNIFACE, 1), "p50_ms", {}),
    Ratio("p50 of one caller over insightface's, detection only", (OUR_DETECTION, 1), (INSIGHTFACE, 1), "p50_ms", {}),
)  # fmt: skip


def measure(quick: bool, packages: bool = True) -> list[Row]:
    """Rows of four kinds, by `kind`; without `packages`, which are installed for it, the ways with our nets alone:

    - way: who judged two pictures of a size for how many callers, judgements a second, and the median of one in ms
    - ratio: ours over another's, and what is wanted where something is
    - verdicts: on how many pairs of pictures somebody comes to our verdicts, and how far its distances are from ours
    - absent: what did not take part, at which size where it is but one, and why
    """
    pack = pack_named(DEFAULT_PACK)
    files = fetch_pack(pack)
    rows: list[Row] = []
    with ExitStack() as stack:
        call = stack.enter_context(ours.calls(stack.enter_context(served()).address))
        entrants = [
            Entrant(OURS, "verify", ours.OurVerification(call), (1, MANY)),
            Entrant(PLAIN, "verify", stack.enter_context(plain_way()), (1, MANY)),
            Entrant(GOOD_PLAIN, "verify", GoodPlainWay(pack, files)),
            Entrant(GOOD_PLAINS, "verify", stack.enter_context(good_plain_ways(cores())), (cores(),)),
            Entrant(OUR_DETECTION, "detect", ours.OurDetection(call)),
        ]
        tasks: tuple[tuple[str, Task], ...] = ((UNIFACE, "verify"), (INSIGHTFACE, "detect"))
        for name, task in tasks if packages else ():
            try:
                way = stack.enter_context(package_way(name.split()[0], pack, files))
                entrants.append(Entrant(name, task, way))
            except ServeError as error:
                rows.append(_absent(name, error))
        samples = [files[name].read_bytes() for name in sample_pictures()]
        rows += _compared(entrants, list(product(samples, samples)))
        for size in QUICK_SIZES if quick else SIZES:
            data = picture(size, 1).data
            rows += _measured(entrants, size, (data, data), *((5, 0.8) if quick else (5, 1.7)))
    return rows


def _compared(entrants: Sequence[Entrant], pairs: Sequence[Pair]) -> list[Row]:
    """Raises ServeError where what has our nets does not come to our verdicts and distances."""
    expected = {task: [_said(_reference(entrants, task), pair) for pair in pairs] for task in _tasks(entrants)}
    rows = []
    for entrant in entrants:
        try:
            said = [_said(entrant.way, pair) for pair in pairs]
        except ServeError as error:
            if entrant.name not in PACKAGED:
                raise
            rows.append(_absent(entrant.name, error))
            continue
        answers = list(zip(said, expected[entrant.task], strict=True))
        agreeing = sum(one.agrees(other) for one, other in answers)
        row: Row = {"kind": "verdicts", "way": entrant.name, "pairs": len(pairs), "as_ours": agreeing}
        if entrant.name in OUR_NETS:
            apart = max(_apart(one, other) for one, other in answers)
            if agreeing < len(pairs) or apart > NEAR:
                raise ServeError(
                    f"the {entrant.name} comes to our verdict on {agreeing} of {len(pairs)} pairs of samples, and its "
                    f"distances are up to {apart:.3g} from ours, where {NEAR} is allowed"
                )
            row["distances_apart"] = apart
        rows.append(row)
    return rows


def _apart(one: Said, other: Said) -> float:
    """How far two verdicts' distances are from each other."""
    assert isinstance(one, Verdict) and isinstance(other, Verdict)
    return abs(one.distance - other.distance)


def _measured(entrants: Sequence[Entrant], size: str, pair: Pair, rounds: int, seconds: float) -> list[Row]:
    """Raises what a turn raises; a package's ServeError makes it absent at this size."""
    expected = {task: _said(_reference(entrants, task), pair) for task in _tasks(entrants)}
    order = [(entrant, callers) for entrant in entrants for callers in entrant.callers]
    turns: Turns = {(entrant.name, callers): [] for entrant, callers in order}
    absent: dict[str, Row] = {}
    for number in range(-1, rounds):  # the first is not counted: it warms up
        for entrant, callers in reversed(order) if number % 2 else order:
            if entrant.name in absent:
                continue
            lasting = seconds / 3 if number < 0 else seconds
            try:
                done = turn(entrant.way, pair, callers=callers, seconds=lasting, expected=expected[entrant.task])
            except ServeError as error:
                if entrant.name not in PACKAGED:
                    raise
                absent[entrant.name] = {**_absent(entrant.name, error), "size": size}
                continue
            if number >= 0:
                turns[entrant.name, callers].append(done)
    there = [(entrant, callers) for entrant, callers in order if entrant.name not in absent]
    names = {(entrant.name, callers) for entrant, callers in there}
    rows = [_way(size, entrant, callers, turns[entrant.name, callers]) for entrant, callers in there]
    return [*rows, *(ratio_row(size, each, turns) for each in RATIOS if each.other in names), *absent.values()]


def ratio_row(size: str, ratio: Ratio, turns: Turns) -> Row:
    """One round's turns are divided by each other; the median counts."""
    pairs = zip(turns[ratio.ours], turns[ratio.other], strict=True)
    found = spread([getattr(a, ratio.figure) / getattr(b, ratio.figure) for a, b in pairs])
    row: Row = {"kind": "ratio", "of": ratio.of, "size": size, "ratio": asdict(found)}
    if size in ratio.wanted:
        sign, limit = ratio.wanted[size]
        row["wanted"] = f"{sign} {limit:g}"
        row["met"] = found.median >= limit if sign == ">=" else found.median <= limit
    return row


def _way(size: str, entrant: Entrant, callers: int, turns: Sequence[Turn]) -> Row:
    return {
        "kind": "way",
        "size": size,
        "way": entrant.name,
        "task": entrant.task,
        "callers": callers,
        "per_second": asdict(spread([each.per_second for each in turns])),
        "p50_ms": asdict(spread([each.p50_ms for each in turns])),
    }


def _absent(name: str, error: ServeError) -> Row:
    return {"kind": "absent", "way": name, "why": str(error)}


def _tasks(entrants: Sequence[Entrant]) -> set[Task]:
    return {each.task for each in entrants}


def _reference(entrants: Sequence[Entrant], task: Task) -> Way:
    """Ours: the first of a task."""
    return next(each.way for each in entrants if each.task == task)


def _said(way: Way, pair: Pair) -> Said:
    return way.read(way.prepared(pair)())
