"""Nets run by ONNX Runtime in this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ensemble.in_process_inferer import InProcessInferer, served
from ensemble.onnx_session import CPU, OnnxSession
from ensemble.pack import Net


class OnnxInferer(InProcessInferer):
    """An Inferer over the served graphs of a repository, `<repository>/<net>/1/model.onnx`.

    A net without a directory there is not served; one whose directory has no readable graph, or one that cannot be run
    on its full batch, is a fault that is raised at once.
    """

    def __init__(self, repository: Path, nets: Mapping[str, Net], provider: str = CPU) -> None:
        """`provider` is that of OnnxSession."""
        folders = served(repository, nets)
        super().__init__(
            {net: OnnxSession(folder / "model.onnx", nets[net].max_batch, provider) for net, folder in folders.items()}
        )
