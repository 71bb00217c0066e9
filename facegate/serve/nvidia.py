"""The Triton of NVIDIA's container images, with their own backends for Python, ONNX Runtime and TensorRT."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from facegate.errors import ServeError
from facegate.serve.stub_environment import stub_environment

ROOT = Path("/opt/tritonserver")
"""Where the images have it: https://docs.nvidia.com/deeplearning/triton-inference-server/release-notes/"""


@dataclass(frozen=True, slots=True)
class NvidiaTriton:
    """The server below `root`; it finds its libraries by the environment that the image sets."""

    root: Path

    @property
    def program(self) -> Path:
        """The tritonserver."""
        return self.root / "bin" / "tritonserver"

    @property
    def native(self) -> bool:
        """Its backends are NVIDIA's own."""
        return True

    @property
    def description(self) -> str:
        """For the person who started it."""
        return f"NVIDIA's Triton in {self.root}, with its own backends"

    def backends(self, scratch: Path) -> Path:
        """Its own backend directory."""
        return self.root / "backends"

    def environment(self) -> dict[str, str]:
        """The image's own, with what the stubs need to find our code."""
        return stub_environment()


def find_nvidia(root: Path = ROOT) -> NvidiaTriton | None:
    """The server below `root`, or None without one.

    Raises ServeError where its stub has another Python than this process: our packages would not load in it.
    """
    found = NvidiaTriton(root)
    if not found.program.is_file():
        return None
    stub = root / "backends" / "python" / "triton_python_backend_stub"
    if not stub.is_file():
        raise ServeError(f"the Triton in {root} has no Python backend: use an image with all backends, <release>-py3")
    linked = re.search(rb"libpython(3\.\d+)\.so", stub.read_bytes())
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if linked and linked[1].decode() != python:
        raise ServeError(
            f"the Python backend in {root} runs Python {linked[1].decode()} and facegate Python {python}: "
            "install facegate with the former"
        )
    return found
