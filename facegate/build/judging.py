"""The precision gate applied to a repository that is about to be installed."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from facegate.build.build import Built, Say
from facegate.build.checks.gate import Gate, judge
from facegate.build.checks.pictures import Pictures, fed
from facegate.build.device import NoGpuError, gpus
from facegate.build.order import kept_in_fp32
from facegate.build.precision.rehearsal import rehearsed
from facegate.build.precision.sensitivity import sensitivity
from facegate.build.target import Precision, Target
from facegate.errors import EngineError, UnfitError
from facegate_ensemble.errors import RequestError
from facegate_ensemble.pack import Pack
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.runtime.runner import Inferer
from facegate_ensemble.runtime.tensorrt.runner import TensorRtInferer

TOLD = 5
"""Layers named where a net fails its gate."""


@dataclass(frozen=True, slots=True)
class Judging:
    """Holds the nets of a repository against the proven fp32 graphs, on the same pictures."""

    served: Built
    pack: Pack
    target: Target
    precision: Precision
    pictures: Pictures
    say: Say

    def judge(self, repository: Path) -> dict[str, dict[str, Any]]:
        """What the gate found, by model, for the stamps. Raises EngineError where a net must not be installed, after it
        has been said why and which layers cost most."""
        gate = self.measure(repository)
        self.say(
            f"gate: {gate.pictures} pictures, {gate.faces} faces, {gate.pairs} pairs, run by {self.runner}: "
            f"verdicts other than in fp32: {len(gate.flips)}"
        )
        for what in gate.unjudged:
            self.say(f"gate: NOT JUDGED: {what}; give pictures that have it with --pictures")
        if not gate:
            self._explain(gate)
            raise UnfitError(
                f"{' and '.join(sorted(gate.failed)) or 'no picture with a face'}: not fit for "
                f"{self.precision.value}; nothing was installed",
                frozenset(gate.failed),
            )
        found_on = {"pictures": gate.pictures, "faces": gate.faces, "pairs": gate.pairs, "flips": 0}
        run = {"run_by": self.runner, "of_engine": self._engines_run}
        return {
            figure.model: {"unit": figure.unit, "difference": figure.worst, "limit": figure.limit, **found_on, **run}
            for figure in gate.figures
        }

    def measure(self, repository: Path) -> Gate:
        """The gate alone. Raises EngineError where the nets cannot be run."""
        try:
            with tempfile.TemporaryDirectory(prefix="facegate-") as scratch:
                expected = OnnxInferer(self.served.repository, self.pack.nets)
                found = self._found(repository, Path(scratch))
                return judge(self.pack, expected, found, self.pictures)
        except EngineError:
            raise
        except (RequestError, RuntimeError) as fault:  # a NetFault, or answers that no net may give
            raise EngineError(f"what was built cannot be judged: {fault}; --no-verify leaves that out") from None

    @property
    def runner(self) -> str:
        """What runs the nets that are judged: the engines where there is a GPU, else the graphs they were built of."""
        if self._engines_run:
            return f"{self.target.label} on {gpus()[0].name}"
        rounding = ", rounding to fp16 node by node" if self.precision is Precision.fp16 else ""
        return f"ONNX Runtime on the CPU{rounding}"

    @property
    def _engines_run(self) -> bool:
        try:
            return self.target is not Target.onnxruntime and bool(gpus())
        except NoGpuError:
            return False

    def _found(self, repository: Path, scratch: Path) -> Inferer:
        if self._engines_run:
            return TensorRtInferer(repository, self.pack.nets)
        if self.precision is not Precision.fp16:
            return OnnxInferer(repository, self.pack.nets)
        for graph in repository.glob("*/1/model.onnx"):
            rounded = scratch / graph.relative_to(repository)
            rounded.parent.mkdir(parents=True)
            onnx.save(rehearsed(onnx.load(graph)), rounded)
        return OnnxInferer(scratch, self.pack.nets)

    def _explain(self, gate: Gate) -> None:
        for fault in (*(figure for figure in gate.figures if not figure), *gate.flips):
            self.say(str(fault))
        if self.precision is Precision.fp32 or not gate.failed:
            return
        inferer = OnnxInferer(self.served.repository, self.served.pack.nets)
        crops = fed(self.served.pack, inferer, self.pictures.some().images())
        for model in sorted(gate.failed):
            graph = onnx.load(self.served.repository / model / "1" / "model.onnx")
            kept = kept_in_fp32(self.pack.nets[model], self.precision)
            costly = sensitivity(graph, kept, crops[model])[:TOLD]
            named = ", ".join(f"{each.node} ({each.difference:.2g})" for each in costly)
            self.say(f"{model}: the layers that cost most, each alone, in parts of fp16's limit: {named}")
            more = json.dumps([*kept, *(each.node for each in costly[:2])])
            self.say(f"{model}: in its table of a copy of the pack, try: keep_fp32.{self.precision.value} = {more}")
