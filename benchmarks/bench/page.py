"""The results as a page to read, from the results alone: `python -m benchmarks page`."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bench import results
from facegate.cli.console import say

Row = Mapping[str, Any]
Result = Mapping[str, Any]

PARTS = {
    "nets": "Each net as it is served, and the published file that it is made of under ONNX Runtime's defaults.",
    "roofline": "What this machine could answer at most: decoding and nets alone, each on all cores at its best, "
    "without a server, a queue, or crops.",
    "pipeline": "The server under load, asked by a process of its own on the same machine. An open loop's times run "
    "from the moment a request was due. p95 and p99 are of all runs' requests together. The share of "
    "the roofline is of one measured in turns with the server: the better of each net and the decoding alone, and of "
    "all of them one after another on each core, which is 'in turn': there a net no longer finds its weights in the "
    "caches.",
    "growth": "What a request costs as there is more to do in it, or more of them.",
    "independent": "The same load by NVIDIA's perf_analyzer and by the generator that the figures above are from, in "
    "turns. They agree where the median of the turns' ratios is within a tenth of 1 and the ranges meet. In an open "
    "loop (constant, poisson) their times differ by definition, p99 above all: perf_analyzer's run from when a request "
    "was sent, ours from when it was due.",
    "peers": "Verification with liveness by our server and by others, in turns on the same pictures. The plain way is "
    "a server as most would build it: OpenCV's detector at the picture's own size, twice for each picture, one worker. "
    "The good plain way is a careful short program without a server, for one caller, with all cores for its models. "
    "Both run the published files of our weights under ONNX Runtime with its defaults.",
}
"""In the order of the page; what each measures."""

BENDS = {
    "faces": "Faces: time grows linearly from the first face on. The slope is a face's three nets and its crops, the "
    "part that stays without a face is decoding, the detector and serving.",
    "pixels": "Pixels: decoding and scaling grow with the pixels. The detector and a face's nets do not, since a "
    "picture is letterboxed to the detector's one size: small pictures cost what these nets cost.",
    "callers": "Callers: throughput grows to as many callers as there are cores, and is flat after that, since a "
    "request has a core to itself. From there on another caller waits: p50 grows linearly.",
    "cameras": "Cameras: frames answered grow with the cameras until the cores are full. From there on frames are late "
    "or refused.",
}
"""Why a curve of the growth part bends where it does, by the rows' kind."""

LEFT_OUT = (
    *("model", "height", "width", "encoded", "liveness"),
    *("mean_ms", "p90_ms", "p95_ms", "late_ms", "answered", "generator_cpu_ms"),
    *("triton_queue_ms", "triton_compute_ms", "stages_ms"),
)
"""Columns without which a table of cases can be read: the case's name says the first of them."""

NOTHING = "-"


def write() -> Path:
    """Write README.md and the plots beside the results there are; raises FileNotFoundError where there are none."""
    parts = read_parts()
    if not parts:
        raise FileNotFoundError("nothing has been measured yet: run python -m benchmarks all")
    plots: dict[str, list[str]] = {}
    if importlib.util.find_spec("matplotlib"):
        plots = importlib.import_module("benchmarks.bench.plots").draw(parts, results.FOLDER)
    else:
        say("no plots are drawn: matplotlib is not installed; pip install -e '.[bench]' brings it")
    path = results.FOLDER / "README.md"
    path.write_text(page(parts, plots), encoding="utf-8")
    say(f"page: {path}")
    return path


def read_parts() -> dict[str, Result]:
    """What has been measured, by part."""
    there = [part for part in PARTS if (results.FOLDER / f"{part}.json").is_file()]
    return {part: results.read(part) for part in there}


def page(parts: Mapping[str, Result], plots: Mapping[str, Sequence[str]]) -> str:
    """The page of these results in Markdown; `plots` are the files beside it, by part."""
    missing = [part for part in PARTS if part not in parts]
    failed = [part for part, result in parts.items() if "failed" in result]
    sections = [
        "# How fast FaceGate is",
        "Written by `make bench`; `python -m benchmarks PART` measures one part again. A figure with brackets is the "
        "median of several runs, in brackets the smallest and the largest. The ratios are of what took turns in one "
        "run. Other figures, of other runs, parts or machines, are not to be compared.",
        "Each part's file beside this page has more figures than its tables here.",
        *([f"Not measured: {', '.join(missing)}."] if missing else []),
        *([f"**Failed when it was last measured: {', '.join(failed)}.**"] if failed else []),
        *_machines(parts),
        *_ratios(parts),
    ]
    for part, result in parts.items():
        quick = " **A short run: rough figures.**" if result.get("quick") else ""
        sections += [f"## {part}", PARTS[part] + quick]
        sections += [f"![{Path(name).stem.replace('-', ' ')}]({name})" for name in plots.get(part, ())]
        if "failed" in result:
            sections.append(f"**It failed when it was last measured**, and has no figures: {result['failed']}")
        kinds = {row.get("kind") for row in result["rows"]}
        sections += [why for kind, why in BENDS.items() if part == "growth" and kind in kinds]
        sections += [table(rows) for rows in by_kind(result["rows"])]
    return "\n\n".join(sections) + "\n"


def by_kind(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each kind, in the order of their first."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(str(row.get("kind")), []).append({key: row[key] for key in row if key != "kind"})
    return list(kinds.values())


def table(rows: Sequence[Row]) -> str:
    """Rows as a table: a column for each figure that any of them has."""
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    lines = [columns, ["---"] * len(columns), *([cell(row.get(name)) for name in columns] for row in flat)]
    return "\n".join("| " + " | ".join(name.replace("_", " ") for name in line) + " |" for line in lines)


def cell(value: Any) -> str:
    """A value in three digits; a spread as its median and, in brackets, smallest and largest."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_spread(value):
        return f"{number(value['median'])} ({number(value['low'])} to {number(value['high'])})"
    if isinstance(value, float):
        return number(value)
    return str(value).replace("|", "\\|")


def number(value: float) -> str:
    """Three digits, and none of them by an exponent where it can be helped.

    >>> [number(each) for each in (1234.6, 12.34, 0.001234, 2.0)]
    ['1235', '12.3', '0.00123', '2']
    """
    return f"{value:.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def is_spread(value: Any) -> bool:
    """Whether it is a Spread that results.write has written."""
    return isinstance(value, dict) and value.keys() == {"median", "low", "high", "runs"}


def _flat(row: Row) -> dict[str, Any]:
    """An object's figures are columns of their own; its texts, and what is LEFT_OUT, are in the result's file alone."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if "case" in row and name in LEFT_OUT:
            continue
        if isinstance(value, dict) and not is_spread(value):
            figures = {key: each for key, each in value.items() if is_spread(each) or isinstance(each, (int, float))}
            flat |= {f"{name} {key}": each for key, each in figures.items()}
        elif not isinstance(value, list):
            flat[name] = value
    return flat


def _ratios(parts: Mapping[str, Result]) -> list[str]:
    """Every ratio in one table, with what is wanted where something is."""
    rows = [
        {"part": part, "ratio": what(row), "measured": figure(row), "wanted": row.get("wanted"), "met": row.get("met")}
        for part, result in parts.items()
        for row in result["rows"]
        if row.get("kind") == "ratio"
    ]
    return ["## Ratios, and what is wanted of them", table(rows)] if rows else []


def what(row: Row) -> str:
    """What a row is about: everything in it that is not measured."""
    said = [
        f"{name.replace('_', ' ')} {value}"
        for name, value in row.items()
        if name in ("faces", "callers", "utilisation")
    ]
    named = [str(value) for name, value in row.items() if isinstance(value, str) and name not in ("kind", "wanted")]
    named = [text for text in named if not any(text != other and text in other for other in named)]
    return ", ".join(named + said)


def figure(row: Row) -> Any:
    """What a ratio's row has measured: its first spread."""
    return next((value for value in row.values() if is_spread(value)), None)


def _machines(parts: Mapping[str, Result]) -> list[str]:
    """What each part ran on and by which command."""
    rows = []
    for part, result in parts.items():
        told = dict(result["machine"])
        versions = ", ".join(filter(None, told.pop("packages", {}).values()))
        rows.append({"part": part, "command": f"`{result['command']}`", **told, "packages": versions})
    return ["## Machine", _turned(rows)]


def _turned(rows: Sequence[Row]) -> str:
    """A line for each fact, a column for each part; one column where all parts have the same."""
    facts = list(dict.fromkeys(name for row in rows for name in row if name not in ("part", "command")))
    lines = [f"- {name.replace('_', ' ')}: {_same(rows, name)}" for name in facts]
    return "\n".join([*lines, *(f"- {row['part']}: {row['command']}" for row in rows)])


def _same(rows: Sequence[Row], name: str) -> str:
    values = {str(row["part"]): cell(row.get(name)) for row in rows}
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{value} ({part})" for part, value in values.items())
