"""What fp16 costs in accuracy: `make precision`.

Builds the default pack's engines for TensorRT for RTX in each precision and holds them against fp32, as
build_engines.py does, on all labelled pictures. Writes
benchmarks/results/precision.json and the figures in docs/engines.md. The pictures are those of FACEGATE_MIRROR/images.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from facegate.build.build import build_served
from facegate.build.checks.gate import Gate
from facegate.build.checks.pictures import Pictures
from facegate.build.compiled import build_engines
from facegate.build.judging import Judging
from facegate.build.order import Order
from facegate.build.target import Precision, Target
from facegate.cli.console import one_line, say
from facegate.packs.shipped import pack_named

RESULT = ROOT / "benchmarks" / "results" / "precision.json"
PAGE = ROOT / "docs" / "engines.md"
MARKS = ("<!-- figures: written by `make precision` -->\n", "<!-- end of figures -->")


def main() -> None:
    """Measure, and write both."""
    with one_line():
        pictures = Pictures.under(Path(os.environ.get("FACEGATE_MIRROR", "")) / "images")
        result = {precision.value: measured(precision, pictures) for precision in Precision}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    before, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    PAGE.write_text(before + MARKS[0] + page(result) + MARKS[1] + after, encoding="utf-8")


def measured(precision: Precision, pictures: Pictures) -> dict[str, Any]:
    """Returns the engines in one precision, and what their accuracy check found."""
    order = Order(pack_named("mobileface"), Target.tensorrt_rtx, precision)
    made = build_engines(order, accept_license=False, say=say, progress=lambda *told: None)
    assert made.repository is not None
    served = build_served(order.pack, say=say)
    judging = Judging(served, served.pack, order.target, precision, pictures, say)
    return {
        "run_by": judging.runner,
        "built_by": f"{made.stamps[0].target.label} {made.stamps[0].version}",
        "tools": made.stamps[0].tools,
        "engines": {
            stamp.model: {"bytes": stamp.size, "seconds": stamp.seconds, "kept_in_fp32": len(stamp.keep_fp32)}
            for stamp in made.stamps
        },
        "all": summary(judging.measure(made.repository)),
    }


def summary(gate: Gate) -> dict[str, Any]:
    """A gate's figures."""
    return {
        "pictures": gate.pictures,
        "faces": gate.faces,
        "pairs": gate.pairs,
        "flips": len(gate.flips),
        "largest": {figure.model: [figure.unit, figure.worst, figure.limit] for figure in gate.figures},
    }


def page(result: dict[str, Any]) -> str:
    """The figures as a part of the page, in Markdown."""
    some = result["fp16"]
    lines = [
        "",
        f"Measured by `make precision` on the labelled pictures ({some['all']['pictures']} with "
        f"{some['all']['faces']} faces, {some['all']['pairs']} pairs).",
        f"fp16 was run by {some['run_by']}; the engines, by {some['built_by']}, were built and not run.",
        "",
        "| | " + " | ".join(result) + " |",
        "|---|" + "---|" * len(result),
    ]
    for model, (unit, _, _) in some["all"]["largest"].items():
        cells = [f"{each['all']['largest'][model][1]:.2g}" for each in result.values()]
        lines.append(f"| {model}, {unit} | " + " | ".join(cells) + " |")
    flips = [str(each["all"]["flips"]) for each in result.values()]
    lines.append("| verdicts that differ | " + " | ".join(flips) + " |")
    kept = [" + ".join(str(net["kept_in_fp32"]) for net in each["engines"].values()) for each in result.values()]
    lines.append("| nodes kept in fp32, net by net | " + " | ".join(kept) + " |")
    sizes = [f"{sum(net['bytes'] for net in each['engines'].values()) / 1e6:.1f} MB" for each in result.values()]
    lines.append(f"| {len(some['engines'])} engines of TensorRT for RTX | " + " | ".join(sizes) + " |")
    return re.sub(r"\n+$", "\n", "\n".join([*lines, ""])) + "\n"


if __name__ == "__main__":
    main()
