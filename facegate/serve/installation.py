"""Which Triton there is on this machine, and what the watcher needs of either."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from facegate.serve.embedded import find_embedded
from facegate.serve.nvidia import ROOT, find_nvidia


class Installation(Protocol):
    """A Triton that can be started."""

    @property
    def program(self) -> Path:
        """The tritonserver."""

    @property
    def native(self) -> bool:
        """Whether the backends for ONNX Runtime and TensorRT are NVIDIA's own; else they are ours, in Python."""

    @property
    def description(self) -> str:
        """For the person who started it."""

    def backends(self, scratch: Path) -> Path:
        """The backend directory, made in `scratch` where it has to be made."""

    def environment(self) -> dict[str, str]:
        """What the server and its stubs run in."""


def find_triton(root: Path = ROOT) -> Installation:
    """NVIDIA's own below `root`, else the one that pip installs. Raises ServeError where neither can be used."""
    return find_nvidia(root) or find_embedded()
