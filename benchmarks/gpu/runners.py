"""What may run the nets on a machine with a GPU, in the order of preference, and the CPU that it is held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.build import MOST_FACES, built
from facegate.build.build import Built, repository_name
from facegate.build.paths import REPOSITORIES
from facegate.build.repository.stamp import read_stamp
from facegate.build.target import Precision, Target
from facegate.packs.pack_file import PackFile
from facegate_ensemble.pack import DETECTORS
from facegate_ensemble.runtime.in_process import InProcessInferer, Session, served
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.runtime.onnx.session import CPU, CUDA, OnnxSession, graph_for
from facegate_ensemble.runtime.runner import Inferer
from facegate_ensemble.runtime.tensorrt.session import TensorRtSession

CPU_RUNNER = "onnxruntime-cpu-fp32"

PRECISIONS = (Precision.fp16, Precision.fp32)
"""In the order in which facegate.cli.choice prefers them."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may run the nets: `build` makes within so many seconds what it needs, where that is anything, and
    returns what there is to say of each net; `open` returns the nets' sessions, each to be run by itself; `inferer`
    what the pipeline asks, of these sessions or of its own."""

    name: str
    title: str
    precision: Precision
    open: Callable[[], Mapping[str, Session]]
    build: Callable[[float], dict[str, Any]] | None = None
    inferer: Callable[[Mapping[str, Session]], Inferer] = InProcessInferer


class Runner:
    """A candidate that is open."""

    def __init__(self, candidate: Candidate, sessions: Mapping[str, Session]) -> None:
        self.name, self.title, self.precision = candidate.name, candidate.title, candidate.precision
        self.sessions = sessions
        self.inferer = candidate.inferer(sessions)

    def most(self, net: str) -> int:
        """The largest batch to measure a net with. The CPU takes any, in parts."""
        limit = rows(net)
        return limit if self.name == CPU_RUNNER else min(limit, self.sessions[net].full_batch)

    def close(self) -> None:
        """Give the GPU's memory back."""
        self.inferer.lanes.close()
        for session in self.sessions.values():
            close = getattr(session, "close", None)
            if close:
                close()
        self.sessions = {}
        self.inferer = InProcessInferer({})


def rows(net: str) -> int:
    """The largest batch of a net that is measured."""
    return max(1, MOST_FACES // 4) if DETECTORS.fullmatch(net) else MOST_FACES


def cpu(nets: Built) -> Candidate:
    """ONNX Runtime on the CPU: the graphs that were proven against the published nets."""

    def as_served(sessions: Mapping[str, Session]) -> Inferer:
        return OnnxInferer(nets.repository, nets.pack.nets)  # a session that runs by itself has all cores for one run

    return Candidate(CPU_RUNNER, "ONNX Runtime, CPU, fp32", Precision.fp32, lambda: _onnx(nets, CPU), inferer=as_served)


def candidates(pack: PackFile, nets: Built, pictures: Path | None) -> list[Candidate]:
    """All that may run the nets on a GPU."""
    engines = [
        _engines(pack, nets, target, precision, pictures)
        for target in (Target.tensorrt, Target.tensorrt_rtx)
        for precision in PRECISIONS
    ]
    cuda = Candidate("onnxruntime-cuda-fp32", "ONNX Runtime, CUDA, fp32", Precision.fp32, lambda: _onnx(nets, CUDA))
    return [*engines, cuda]


def _onnx(nets: Built, provider: str) -> dict[str, Session]:
    folders = served(nets.repository, nets.pack.nets)
    return {net: OnnxSession(graph_for(folder, provider), rows(net), provider) for net, folder in folders.items()}


def _engines(pack: PackFile, nets: Built, target: Target, precision: Precision, pictures: Path | None) -> Candidate:
    name = repository_name(pack, target.value, precision.value, size=None, liveness=True)
    engines = {net: folder / target.file for net, folder in served(nets.repository, nets.pack.nets).items()}
    engines = {net: REPOSITORIES / name / file.relative_to(nets.repository) for net, file in engines.items()}

    def build(seconds: float) -> dict[str, Any]:
        built(pack.name, target, precision, pictures, seconds)
        stamps = [read_stamp(engine) for engine in engines.values()]
        return {
            stamp.model: {"version": stamp.version, "build_seconds": stamp.seconds, "bytes": stamp.size}
            for stamp in stamps
        }

    def open_all() -> dict[str, Session]:
        return {net: TensorRtSession(engine, rows(net)) for net, engine in engines.items()}

    title = f"{target.label}, {precision.value}"
    return Candidate(f"{target.value}-{precision.value}", title, precision, open_all, build)
