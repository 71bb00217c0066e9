"""Our load generator against NVIDIA's perf_analyzer, in turns on one server: `python -m benchmarks independent`.

Both send the same request, of the same pictures, over gRPC. In an open loop both keep to the same list of moments.
perf_analyzer counts from the moment it sends; ours, from the moment a request was due: in an open loop the two
p99 differ by definition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from benchmarks.bench import arrivals, load
from benchmarks.bench.perf_analyzer import PerfAnalyzer, Report, find
from benchmarks.bench.pictures import picture
from benchmarks.bench.served import served
from benchmarks.bench.spread import Spread, spread
from facegate.errors import ServeError

CALLERS = (1, 8)
UTILISATION = 0.6
"""The open loop's rate, as a part of what eight callers were answered."""

TOLERANCE = 0.1
SIZE = "640x480"
WARM_UP = 0.5

Row = dict[str, Any]
Generator = Callable[[], load.Result | Report]


@dataclass(frozen=True, slots=True)
class _Request:
    """A request as each of the two generators wants it, with liveness."""

    work: load.Work
    images: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Load:
    """So many `callers` of a closed loop, or the moments at which requests of an open one are `due`."""

    loop: str
    callers: int = 0
    due: Sequence[float] = ()


def measure(quick: bool) -> list[Row]:
    """A row for each model, in a quick run for verify alone, and each load: both generators' throughput, p50 and p99,
    ours over perf_analyzer's, and whether the two agree: see `agree`."""
    seconds, repeats = (1.5, 3) if quick else (3.0, 3)
    analyzer = find()
    image = picture(SIZE, 1)
    requests = (
        _Request(load.verify(image, image, liveness=True), {"IMAGE_1": image.data, "IMAGE_2": image.data}),
        _Request(load.analyze(image, liveness=True), {"IMAGE": image.data}),
    )
    rows = []
    with served() as server:
        for request in requests[:1] if quick else requests:
            most = load.closed(server.address, request.work, CALLERS[-1], seconds=seconds, warm_up=2.0).throughput
            for each in _loads(UTILISATION * most, WARM_UP + seconds):
                ours = partial(_by_ours, server.address, request, each, seconds)
                theirs = partial(_by_theirs, analyzer, server.address, request, each, seconds)
                case = {"model": request.work.model, "size": SIZE, "loop": each.loop, "callers": each.callers}
                rate = len(each.due) / (WARM_UP + seconds)
                rows.append({**case, "due_per_s": rate, **compared(ours, theirs, repeats)})
    return rows


def compared(ours: Generator, theirs: Generator, repeats: int) -> Row:
    """Both generators in turns, each first in every other turn."""
    own: list[load.Result | Report] = []
    other: list[load.Result | Report] = []
    for turn in range(repeats):
        pair = ((ours, own), (theirs, other))
        for generator, reports in pair if turn % 2 == 0 else reversed(pair):
            reports.append(generator())
    row: Row = {}
    for name in ("throughput", "p50_ms", "p99_ms"):
        figures = [[getattr(each, name) for each in reports] for reports in (own, other)]
        spreads = [spread(each) for each in figures]
        ratio = spread([a / b for a, b in zip(*figures, strict=True)])
        row[f"own_{name}"], row[f"perf_analyzer_{name}"] = (asdict(each) for each in spreads)
        row[f"{name}_ratio"] = asdict(ratio)
        row[f"{name}_agree"] = agree(ratio, *spreads)
    return row


def agree(ratio: Spread, one: Spread, other: Spread) -> bool:
    """Whether the median of the turns' ratios is within a tenth of 1, and the two ranges have a point in common."""
    return abs(ratio.median - 1) <= TOLERANCE and one.low <= other.high and other.low <= one.high


def _loads(rate: float, seconds: float) -> list[_Load]:
    return [
        *(_Load("closed", callers=callers) for callers in CALLERS),
        _Load("constant", due=arrivals.constant(rate, seconds)),
        _Load("poisson", due=arrivals.poisson(rate, seconds, seed=1)),
    ]


def _by_ours(address: str, request: _Request, asked: _Load, seconds: float) -> load.Result:
    if asked.callers:
        result = load.closed(address, request.work, asked.callers, seconds=seconds, warm_up=WARM_UP)
    else:
        result = load.opened(address, request.work, asked.due, seconds=seconds, warm_up=WARM_UP)
    if result.errors:
        raise ServeError(f"{request.work.model} answered errors as the generators were compared: {result.errors}")
    return result


def _by_theirs(analyzer: PerfAnalyzer, address: str, request: _Request, asked: _Load, seconds: float) -> Report:
    model, images = request.work.model, request.images
    if asked.callers:
        return analyzer.closed(address, model, images, asked.callers, liveness=True, seconds=seconds)
    return analyzer.opened(address, model, images, asked.due, liveness=True, seconds=seconds)
