"""The Triton that pip installs: NVIDIA's nvidia-pytriton wheel carries a tritonserver with the Python backend."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from facegate.errors import ServeError
from facegate.serve.stub_environment import stub_environment
from facegate_ensemble import triton

PYTHON_BACKED = Path(triton.__path__[0]) / "backends"
"""Backends written in Python, by the names that model configurations use for NVIDIA's own."""


@dataclass(frozen=True, slots=True)
class EmbeddedTriton:
    """The wheel's server: its program, and the folders of its libraries, Python backend and stub."""

    program: Path
    libraries: Path
    python_backend: Path
    stub: Path

    @property
    def native(self) -> bool:
        """It has the Python backend only; the others are ours."""
        return False

    @property
    def description(self) -> str:
        """For the person who started it."""
        return "the Triton that pip installs, with backends in Python"

    def backends(self, scratch: Path) -> Path:
        """A backend directory made in `scratch`: the Python backend with this Python's stub, and ours upon it."""
        folder = scratch / "backends"
        shutil.copytree(self.python_backend, folder / "python", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(self.stub, folder / "python")
        shutil.copytree(PYTHON_BACKED, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        return folder

    def environment(self) -> dict[str, str]:
        """That of the stubs, with the libraries of the server and of this Python."""
        libraries = [str(self.libraries), sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH")]
        return {**stub_environment(), "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries))}


def find_embedded() -> EmbeddedTriton:
    """The installed wheel's server. Raises ServeError when it is not installed or has no stub for this Python."""
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise ServeError(
            "nvidia-pytriton, the Triton that pip installs, is not here. It exists for Linux on x86-64 and arm64: "
            "run `make venv`, or pip install 'facegate[serve]', or serve the repository with NVIDIA's own container"
        )
    package = Path(next(iter(spec.submodule_search_locations)))
    triton = package / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = EmbeddedTriton(
        program=triton / "bin" / "tritonserver",
        libraries=package.parent / "nvidia_pytriton.libs",
        python_backend=triton / "backends" / "python",
        stub=triton / "python_backend_stubs" / version / "triton_python_backend_stub",
    )
    for path in (found.program, found.libraries, found.python_backend, found.stub):
        if not path.exists():
            raise ServeError(f"nvidia-pytriton has no {path.relative_to(package.parent)} for Python {version} here")
    _check_libpython(f"libpython{version}.so.1.0")
    return found


def _check_libpython(name: str) -> None:
    """The stub is a program that loads Python as a library, which a Python may have been built without."""
    if Path(sysconfig.get_config_var("LIBDIR") or "", name).exists():
        return
    try:
        ctypes.CDLL(name)
    except OSError:
        raise ServeError(
            f"Triton needs {name}, which {sys.executable} has not: use a Python built with --enable-shared, "
            f"or install the library (on Debian: apt install {name.removesuffix('.so.1.0')})"
        ) from None
