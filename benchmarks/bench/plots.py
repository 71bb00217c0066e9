"""Plots of the results, as SVG that is the same for the same results. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Row = Mapping[str, Any]

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "facegate",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
"""Without a salt of its own matplotlib names what is in a file by chance; text stays text, which is smaller."""

LEAST_POINTS = 3


def draw(parts: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, list[str]]:
    """Draw what these results have into `folder`: the files' names by part."""
    drawn: dict[str, list[str]] = {}
    with pyplot.rc_context(STYLE):
        for part, name, plot in PLOTS:
            if part in parts and (figure := plot(parts[part]["rows"])):
                file = f"{part}-{name}.svg"
                figure.savefig(folder / file, metadata={"Date": None}, bbox_inches="tight")
                pyplot.close(figure)
                drawn.setdefault(part, []).append(file)
    return drawn


def latency(rows: Sequence[Row]) -> Figure | None:
    """Throughput against the time of a request, as callers become more; a curve for each case that was swept."""
    cases = {case: of for case, of in _by(rows, "case").items() if len(_closed(of)) >= LEAST_POINTS}
    if not cases:
        return None
    figure, (middle, tail) = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axes, name in ((middle, "p50_ms"), (tail, "p99_ms")):
        for case, of in cases.items():
            swept = sorted((row for row in _closed(of) if row[name]), key=lambda row: row["callers"])
            _curve(axes, swept, "throughput", name, case)
            for row in swept:
                axes.annotate(str(row["callers"]), (row["throughput"]["median"], row[name]["median"]))
        axes.set(xlabel="requests a second (the number is the callers)", ylabel=f"{name[:3]}, ms", yscale="log")
    middle.legend(fontsize=7)
    return figure


def stages(rows: Sequence[Row]) -> Figure | None:
    """Where the time of a request goes when it is alone. Recognition and liveness overlap."""
    alone = [row for row in rows if row.get("kind") == "closed" and row["callers"] == 1]
    if not alone:
        return None
    figure, axes = pyplot.subplots(figsize=(8, 0.6 * len(alone) + 1.2))
    names = list(alone[0]["stages_ms"])
    height = 0.8 / len(names)
    for number, name in enumerate(names):
        places = [line + number * height for line in range(len(alone))]
        axes.barh(places, [row["stages_ms"][name]["median"] for row in alone], height, label=name)
    axes.set_yticks([line + 0.4 - height / 2 for line in range(len(alone))], [row["case"] for row in alone])
    axes.invert_yaxis()
    axes.set(xlabel="ms, one caller")
    axes.legend(fontsize=7)
    return figure


def growth(rows: Sequence[Row]) -> Figure | None:
    """Throughput, time and CPU of a request over what grows, a line of plots for each."""
    sweeps = [(x, of) for x, chosen in SWEEPS.items() if len(of := chosen(rows)) >= LEAST_POINTS]
    if not sweeps:
        return None
    figure, grid = pyplot.subplots(len(sweeps), len(GROWING), figsize=(10, 2.6 * len(sweeps)), squeeze=False)
    for line, (x, of) in zip(grid, sweeps, strict=True):
        for axes, (figure_name, label) in zip(line, GROWING.items(), strict=True):
            _points(axes, [value for value, _ in of], [row[figure_name] for _, row in of])
            axes.set(xlabel=x, ylabel=label)
            axes.set_ylim(bottom=0)
    figure.tight_layout()
    return figure


Points = list[tuple[float, Row]]
"""How much there is of what grows, and the row."""


def _busy(rows: Sequence[Row], kind: str, size: Callable[[Row], float]) -> Points:
    """Of a kind's rows, which are each of few callers and of many, those of many."""
    of = _answered(rows, kind)
    many = max((row["callers"] for row in of), default=0)
    return [(size(row), row) for row in of if row["callers"] == many]


def _swept(rows: Sequence[Row], kind: str) -> Points:
    return [(row[kind], row) for row in _answered(rows, kind)]


def _answered(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row.get("kind") == kind and row["throughput"] and row["p50_ms"]]


SWEEPS: Mapping[str, Callable[[Sequence[Row]], Points]] = {
    "faces in a picture, many callers": lambda rows: _busy(rows, "faces", lambda row: float(row["faces"])),
    "megapixels, many callers": lambda rows: _busy(rows, "pixels", lambda row: row["height"] * row["width"] / 1e6),
    "callers": lambda rows: _swept(rows, "callers"),
    "cameras": lambda rows: _swept(rows, "cameras"),
}

GROWING = {"throughput": "requests a second", "p50_ms": "p50, ms", "server_cpu_ms": "CPU of a request, ms"}


def peers(rows: Sequence[Row]) -> Figure | None:
    """Verifications a second by size, each way with as many callers as serve it best."""
    ways = [row for row in rows if row.get("kind") == "way" and row["task"] == "verify"]
    if not ways:
        return None
    sizes, names = list(_by(ways, "size")), list(_by(ways, "way"))
    figure, axes = pyplot.subplots(figsize=(8, 4))
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        best = [_best(row for row in ways if (row["way"], row["size"]) == (name, size)) for size in sizes]
        places = [place + number * width for place in range(len(sizes))]
        axes.bar(places, [each["median"] for each in best], width, yerr=_arms(best), capsize=2, label=name)
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(sizes))], sizes)
    axes.set(ylabel="verifications a second")
    axes.legend(fontsize=7)
    return figure


PLOTS: tuple[tuple[str, str, Callable[[Sequence[Row]], Figure | None]], ...] = (
    ("pipeline", "latency", latency),
    ("pipeline", "stages", stages),
    ("growth", "curves", growth),
    ("peers", "throughput", peers),
)
"""Part, name of the plot, and what draws it."""


def _closed(rows: Sequence[Row]) -> list[Row]:
    return _answered(rows, "closed")


def _by(rows: Sequence[Row], name: str) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.get(name), []).append(row)
    return groups


def _best(rows: Any) -> Mapping[str, float]:
    best: Mapping[str, float] = max((row["per_second"] for row in rows), key=lambda each: each["median"])
    return best


def _curve(axes: Axes, rows: Sequence[Row], x: str, y: str, label: str) -> None:
    _points(axes, [row[x]["median"] for row in rows], [row[y] for row in rows], label)


def _points(axes: Axes, x: Sequence[float], spreads: Sequence[Mapping[str, float]], label: str | None = None) -> None:
    medians = [each["median"] for each in spreads]
    axes.errorbar(x, medians, yerr=_arms(spreads), marker="o", markersize=3, capsize=2, label=label)


def _arms(spreads: Sequence[Mapping[str, float]]) -> list[list[float]]:
    """How far the smallest and the largest run are from the median."""
    down = [each["median"] - each["low"] for each in spreads]
    return [down, [each["high"] - each["median"] for each in spreads]]
