"""Nets run by ONNX Runtime in this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from facegate_ensemble.pack import Net
from facegate_ensemble.runtime.cores import lane_count
from facegate_ensemble.runtime.in_process import InProcessInferer, served
from facegate_ensemble.runtime.onnx.session import CPU, OnnxSession, graph_for


class OnnxInferer(InProcessInferer):
    """An Inferer over the served graphs of a repository, `<repository>/<net>/1/model.onnx`, or cpu.onnx beside it.

    A net without a directory there is not served; one whose directory has no readable graph, or
    one that cannot be run on its full batch, is a fault that is raised at once.
    """

    def __init__(self, repository: Path, nets: Mapping[str, Net], provider: str = CPU) -> None:
        """`provider` is that of OnnxSession."""
        self.spreads = provider == CPU
        self._at_a_time = lane_count() if self.spreads else 1
        sessions = {
            net: OnnxSession(graph_for(folder, provider), nets[net].max_batch, provider, at_a_time=self._at_a_time)
            for net, folder in served(repository, nets).items()
        }
        super().__init__(sessions, self._at_a_time if self.spreads else None)

    def chunk(self, net: str, rows: int) -> int:
        return max(1, min(super().chunk(net, rows), -(-rows // self._at_a_time)))
