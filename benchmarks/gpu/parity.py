"""Each runner held against the CPU in fp32, on the same pictures: every net, the whole pipeline, every verdict."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.runners import Runner
from facegate.build.checks.gate import Gate, judge
from facegate.build.checks.pictures import Pictures
from facegate_ensemble.pack import Pack
from facegate_ensemble.runtime.runner import Arrays, Inferer

TOLD = 10
"""Verdicts that differ and are named, of each runner."""


class Remembering:
    """An inferer that runs the same batch once: all runners are held against the same answers."""

    def __init__(self, inferer: Inferer) -> None:
        self.lanes = inferer.lanes
        self.spreads = inferer.spreads
        self._inferer = inferer
        self._answers: dict[tuple[str, int, bytes], Arrays] = {}

    def serves(self, net: str) -> bool:
        return self._inferer.serves(net)

    def chunk(self, net: str, rows: int) -> int:
        return self._inferer.chunk(net, rows)

    def infer(self, net: str, batch: NDArray[np.uint8]) -> Arrays:
        key = (net, len(batch), hashlib.sha256(batch.tobytes()).digest())
        if key not in self._answers:
            self._answers[key] = self._inferer.infer(net, batch)
        return self._answers[key]


def parity(pack: Pack, expected: Inferer, runner: Runner, pictures: Pictures) -> dict[str, Any]:
    """What facegate.build.checks.gate finds of a runner, JSON-ready."""
    return _told(judge(pack, expected, runner.inferer, pictures))


def _told(gate: Gate) -> dict[str, Any]:
    return {
        "within_limits": bool(gate),
        "pictures": gate.pictures,
        "faces": gate.faces,
        "pairs": gate.pairs,
        "verdicts_that_differ": len(gate.flips),
        "flips": [str(flip) for flip in gate.flips[:TOLD]],
        "unjudged": list(gate.unjudged),
        "nets": {
            figure.model: {
                "unit": figure.unit,
                "largest_difference": float(f"{figure.worst:.3g}") if np.isfinite(figure.worst) else None,
                "limit": figure.limit,
                "within_limit": bool(figure),
            }
            for figure in gate.figures
        },
    }
