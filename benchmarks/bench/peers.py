"""Ours and others' ways to verify with liveness, in turns on the same pictures: `python -m benchmarks peers`.

Our server is asked through gRPC by one caller and by eight; what the others are is said in plain.py and good_plain.py.
All that take part are there at once and take turns, the order reversed in every other round, and one
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
from benchmarks.bench.good_plain import GoodPlainWay
from benchmarks.bench.peer import Pair, Turn, Verdict, Way, turn
from benchmarks.bench.pictures import SIZES, picture
from benchmarks.bench.plain import plain_way
from benchmarks.bench.served import served
from benchmarks.bench.spread import spread
from facegate.build.build import fetch_pack
from facegate.cli.options import DEFAULT_PACK
from facegate.errors import ServeError
from facegate.packs.shipped import pack_named, sample_pictures

MANY = 8
"""Callers that keep a server busy."""

NEAR = 0.01
"""Cosine distances of the same nets may differ by so much: detectors at other sizes find slightly other landmarks."""

QUICK_SIZES = ("640x480", "3MP")

Row = dict[str, Any]
Turns = dict[tuple[str, int], list[Turn]]
"""By name and callers, a turn for each round."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who takes part in what, and with how many callers."""

    name: str
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


OURS, PLAIN, GOOD_PLAIN = "FaceGate", "plain way", "good plain way"

RATIOS = (
    Ratio(f"throughput of {MANY} callers over the plain way's of {MANY}", (OURS, MANY), (PLAIN, MANY), "per_second",
          {"640x480": (">=", 3.0), "3MP": (">=", 10.0)}),
    Ratio(f"throughput of {MANY} callers over the good plain way's of one", (OURS, MANY), (GOOD_PLAIN, 1), "per_second",
          {"640x480": (">=", 1.7)}),
    Ratio("p50 of one caller over the good plain way's", (OURS, 1), (GOOD_PLAIN, 1), "p50_ms",
          {"640x480": ("<=", 0.7)}),
    Ratio("p50 of one caller over the plain way's", (OURS, 1), (PLAIN, 1), "p50_ms", {}),
)  # fmt: skip


def measure(quick: bool) -> list[Row]:
    """Rows of three kinds, by `kind`:

    - way: who judged two pictures of a size for how many callers, judgements a second, and the median of one in ms
    - ratio: ours over another's, and what is wanted where something is
    - verdicts: on how many pairs of pictures a way comes to our verdicts, and how far its distances are from ours
    """
    pack = pack_named(DEFAULT_PACK)
    files = fetch_pack(pack)
    with ExitStack() as stack:
        call = stack.enter_context(ours.calls(stack.enter_context(served()).address))
        entrants = [
            Entrant(OURS, ours.OurVerification(call), (1, MANY)),
            Entrant(PLAIN, stack.enter_context(plain_way()), (1, MANY)),
            Entrant(GOOD_PLAIN, GoodPlainWay(pack, files)),
        ]
        samples = [files[name].read_bytes() for name in sample_pictures()]
        rows = _compared(entrants, list(product(samples, samples)))
        for size in QUICK_SIZES if quick else SIZES:
            data = picture(size, 1).data
            rows += _measured(entrants, size, (data, data), *((5, 0.8) if quick else (5, 1.7)))
    return rows


def _compared(entrants: Sequence[Entrant], pairs: Sequence[Pair]) -> list[Row]:
    """Raises ServeError where a way does not come to our verdicts and distances: ours is the first."""
    expected = [_said(entrants[0].way, pair) for pair in pairs]
    rows: list[Row] = []
    for entrant in entrants:
        answers = list(zip([_said(entrant.way, pair) for pair in pairs], expected, strict=True))
        agreeing = sum(one.agrees(other) for one, other in answers)
        apart = max(abs(one.distance - other.distance) for one, other in answers)
        if agreeing < len(pairs) or apart > NEAR:
            raise ServeError(
                f"the {entrant.name} comes to our verdict on {agreeing} of {len(pairs)} pairs of samples, and its "
                f"distances are up to {apart:.3g} from ours, where {NEAR} is allowed"
            )
        row = {"kind": "verdicts", "way": entrant.name, "pairs": len(pairs), "as_ours": agreeing}
        rows.append({**row, "distances_apart": apart})
    return rows


def _measured(entrants: Sequence[Entrant], size: str, pair: Pair, rounds: int, seconds: float) -> list[Row]:
    """Raises what a turn raises."""
    expected = _said(entrants[0].way, pair)
    order = [(entrant, callers) for entrant in entrants for callers in entrant.callers]
    turns: Turns = {(entrant.name, callers): [] for entrant, callers in order}
    for number in range(-1, rounds):  # the first is not counted: it warms up
        for entrant, callers in reversed(order) if number % 2 else order:
            lasting = seconds / 3 if number < 0 else seconds
            done = turn(entrant.way, pair, callers=callers, seconds=lasting, expected=expected)
            if number >= 0:
                turns[entrant.name, callers].append(done)
    rows = [_way(size, entrant, callers, turns[entrant.name, callers]) for entrant, callers in order]
    return [*rows, *(ratio_row(size, each, turns) for each in RATIOS)]


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
        "callers": callers,
        "per_second": asdict(spread([each.per_second for each in turns])),
        "p50_ms": asdict(spread([each.p50_ms for each in turns])),
    }


def _said(way: Way, pair: Pair) -> Verdict:
    return way.read(way.prepared(pair)())
