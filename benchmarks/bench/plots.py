"""The plot of the results, as SVG that is the same for the same results. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
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

THROUGHPUT = "peers-throughput.svg"


def draw(parts: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, list[str]]:
    """Draws what these results have into `folder`, and returns the files' names by part."""
    figure = peers(parts["peers"]["rows"]) if "peers" in parts else None
    if figure is None:
        return {}
    with pyplot.rc_context(STYLE):
        figure.savefig(folder / THROUGHPUT, metadata={"Date": None}, bbox_inches="tight")
        pyplot.close(figure)
    return {"peers": [THROUGHPUT]}


def peers(rows: Sequence[Row]) -> Figure | None:
    """Verifications a second by size, each way with as many callers as serve it best."""
    ways = [row for row in rows if row.get("kind") == "way"]
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


def _by(rows: Sequence[Row], name: str) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.get(name), []).append(row)
    return groups


def _best(rows: Any) -> Mapping[str, float]:
    best: Mapping[str, float] = max((row["per_second"] for row in rows), key=lambda each: each["median"])
    return best


def _arms(spreads: Sequence[Mapping[str, float]]) -> list[list[float]]:
    """How far the smallest and the largest run are from the median."""
    down = [each["median"] - each["low"] for each in spreads]
    return [down, [each["high"] - each["median"] for each in spreads]]
