"""Nets run by TensorRT in this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from facegate_ensemble.pack import Net
from facegate_ensemble.runtime.in_process import InProcessInferer, served
from facegate_ensemble.runtime.tensorrt.engine import engine_in
from facegate_ensemble.runtime.tensorrt.session import TensorRtSession


class TensorRtInferer(InProcessInferer):
    """An Inferer over the engines of a repository, `<repository>/<net>/1/model.plan` or `model.rtx`, on the first GPU.

    A net without a directory there is not served; one whose directory has no engine, or one that cannot be run on its
    full batch, is a NetFault that is raised at once.
    """

    def __init__(self, repository: Path, nets: Mapping[str, Net]) -> None:
        engines = {net: engine_in(folder) for net, folder in served(repository, nets).items()}
        super().__init__({net: TensorRtSession(engine, nets[net].max_batch) for net, engine in engines.items()})
