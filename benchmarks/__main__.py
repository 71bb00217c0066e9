"""`python -m benchmarks <part>`: measure a part, or `all` of them, into benchmarks/results/bench/, with a page."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Annotated

import typer

from facegate.cli.console import one_line, say

PARTS = {
    "nets": "The served nets against the published ones, under plain ONNX Runtime.",
    "roofline": "What this machine could answer at most: decoding and nets alone.",
    "pipeline": "The server under closed and open load, and its share of the roofline.",
    "growth": "How cost grows with faces, pixels, callers and cameras.",
    "independent": "The same load by NVIDIA's perf_analyzer.",
    "peers": "Other ways to do the same, in turns with the server.",
}
"""Each is a module of benchmarks.bench with `measure(quick)`, imported only when it is run."""

Quick = Annotated[bool, typer.Option("--quick", help="A short run: rough figures, to see that it works.")]

app = typer.Typer(help="How fast FaceGate is. Results and page: benchmarks/results/bench/.", no_args_is_help=True)


def _add(part: str, about: str) -> None:
    @app.command(part, help=about)
    def run(quick: Quick = False) -> None:
        with one_line():
            _measure(part, quick)


for _part, _about in PARTS.items():
    _add(_part, _about)


@app.command("page")
def write_page() -> None:
    """Write the page and its plots from the results that are there."""
    with one_line():
        importlib.import_module("benchmarks.bench.page").write()


@app.command()
def check(
    accept: Annotated[bool, typer.Option("--accept", help="Keep what is measured now as what is normal.")] = False,
) -> None:
    """Measure quickly, and compare ratios with the ones that are kept.

    Exit status 1 where something got worse, or could not be measured; 2 where the ratios are another machine's.
    """
    with one_line():
        status = importlib.import_module("benchmarks.bench.check").run(accept=accept)
    raise typer.Exit(status)


@app.command("all")
def everything(quick: Quick = False) -> None:
    """Every part, one after another, and the page. A part that fails does not stop the others: exit status 1."""
    failed = []
    with one_line():
        results = importlib.import_module("benchmarks.bench.results")
        for part in PARTS:
            try:
                _measure(part, quick)
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
                failed.append(part)
                say(f"{part} failed: {why}")
                results.write(part, [], quick=quick, failed=why)
        importlib.import_module("benchmarks.bench.page").write()
    if failed:
        sys.exit(f"facegate: not measured: {', '.join(failed)}")


def _measure(part: str, quick: bool) -> None:
    say(f"{part}: begins")
    began = time.monotonic()
    rows = importlib.import_module(f"benchmarks.bench.{part}").measure(quick)
    path = importlib.import_module("benchmarks.bench.results").write(part, rows, quick=quick)
    say(f"{part}: {time.monotonic() - began:.0f} s, {path}")


if __name__ == "__main__":
    app()
