"""Has something got slower? `python -m benchmarks check`: a quick measurement against the ratios that are kept.

Only ratios are compared, never times: a ratio's two sides took turns in one run. A ratio has moved when its median is
further from the kept one than any run of either is from its own median, and further than a tenth. Where runs are so far
from each other that a quarter more or less could not be seen, it is too noisy to tell.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.bench import results
from benchmarks.bench.machine import machine
from benchmarks.bench.page import cell
from benchmarks.bench.peers import MANY
from benchmarks.bench.spread import Spread
from facegate.errors import ServeError

LEAST = 0.1
"""The least part of a ratio that counts as moved."""

TOO_NOISY = 0.25
"""Of a ratio: where noise is more than this, that nothing moved means nothing."""

WORSE, ANOTHER_MACHINE = 1, 2
"""Exit statuses."""

Row = Mapping[str, Any]
Ratios = dict[str, Spread]
Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Watched:
    """A ratio that a part's rows have: `figure` of the first row that has it and all of `where`."""

    name: str
    part: str
    better: Better
    figure: str
    where: Mapping[str, Any]


WATCHED = (
    Watched("three nets of a face, published over served", "nets", "higher", "original_over_served",
            {"kind": "ratio", "of": "three nets of a face"}),
    Watched("detector, published over served", "nets", "higher", "original_over_served",
            {"kind": "ratio", "of": "detector, by pixel"}),
    Watched("throughput over the good plain way's", "peers", "higher", "ratio",
            {"kind": "ratio", "of": f"throughput of {MANY} callers over the good plain way's of one",
             "size": "640x480"}),
    Watched("p50 of one caller over the good plain way's", "peers", "lower", "ratio",
            {"kind": "ratio", "of": "p50 of one caller over the good plain way's", "size": "640x480"}),
    Watched("verify, share of the roofline", "pipeline", "higher", "share_of_roofline",
            {"kind": "closed", "model": "verify", "height": 480, "encoded": True, "liveness": True}),
    Watched("analyze of six faces, share of the roofline", "pipeline", "higher", "share_of_roofline",
            {"kind": "closed", "model": "analyze", "height": 480, "faces": 6, "liveness": True}),
    Watched("p99 over p50 at 0.7 of saturation, even arrival", "pipeline", "lower", "ratio",
            {"kind": "ratio", "of": "p99 / p50, constant arrival"}),
    Watched("one more face over its three nets alone", "growth", "lower", "ratio",
            {"kind": "ratio", "of": "one more face in an image over its three nets alone"}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a ratio; `before` is None where it is a new one, `now` where it could not be measured."""

    name: str
    better: Better
    before: Spread | None
    now: Spread | None

    @property
    def band(self) -> float:
        """How far from the kept median is noise."""
        spreads = [each for each in (self.before, self.now) if each]
        runs = [max(each.high - each.median, each.median - each.low) for each in spreads]
        return max(*runs, LEAST * spreads[0].median, 0.0)

    @property
    def moved(self) -> Literal["same", "noisy", "better", "worse", "new", "missing"]:
        """In which direction, by more than noise."""
        if self.now is None:
            return "missing"
        if self.before is None:
            return "new"
        by = self.now.median - self.before.median
        if abs(by) <= self.band:
            return "noisy" if self.band > TOO_NOISY * self.before.median else "same"
        return "better" if (by > 0) == (self.better == "higher") else "worse"

    def __str__(self) -> str:
        now, before = (cell(asdict(each)) if each else "-" for each in (self.now, self.before))
        said = "too noisy to tell" if self.moved == "noisy" else self.moved
        return f"{said:7} {self.name}: {now}, kept {before}, {self.better} is better"


def run(*, accept: bool) -> int:
    """Measure, and say what moved. With `accept` the ratios are kept: raises ServeError where one is missing.

    The exit status: WORSE where something got worse or is missing, ANOTHER_MACHINE where nothing can be compared.
    """
    path = results.FOLDER / "ratios.json"
    told = machine()
    if accept:
        return _keep(path, told)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run python -m benchmarks check --accept to keep today's ratios")
    kept = json.loads(path.read_text(encoding="utf-8"))
    if (there := [kept["machine"][name] for name in ("cpu", "cores")]) != [told["cpu"], told["cores"]]:
        print(
            f"the ratios that are kept are another machine's, {there[0]} with {there[1]} cores, and say nothing of "
            "this one: run python -m benchmarks check --accept here, before what is to be compared is changed"
        )
        return ANOTHER_MACHINE
    changes = compared({name: Spread(**each) for name, each in kept["ratios"].items()}, _measured())
    print(*changes, sep="\n")
    return WORSE if any(change.moved in ("worse", "missing") for change in changes) else 0


def _keep(path: Path, told: Mapping[str, Any]) -> int:
    now = _measured()
    if missing := [watched.name for watched in WATCHED if watched.name not in now]:
        raise ServeError(f"nothing is kept, since these ratios were not measured: {'; '.join(missing)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {"machine": told, "ratios": {name: asdict(each) for name, each in now.items()}}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"kept in {path}")
    return 0


def _measured() -> Ratios:
    """Runs, quickly, every part that has a watched ratio."""
    parts = dict.fromkeys(watched.part for watched in WATCHED)
    return found({part: importlib.import_module(f"benchmarks.bench.{part}").measure(True) for part in parts})


def found(parts: Mapping[str, Sequence[Row]]) -> Ratios:
    """The watched ratios that the parts' rows have."""
    ratios: Ratios = {}
    for watched in WATCHED:
        rows = (row for row in parts.get(watched.part, ()) if watched.where.items() <= row.items())
        if figure := next((row[watched.figure] for row in rows if row.get(watched.figure)), None):
            ratios[watched.name] = figure if isinstance(figure, Spread) else Spread(**figure)
    return ratios


def compared(before: Ratios, now: Ratios) -> list[Change]:
    """What became of each watched ratio."""
    return [Change(each.name, each.better, before.get(each.name), now.get(each.name)) for each in WATCHED]
