"""TensorRT or TensorRT for RTX: the same Python API under two names."""

from __future__ import annotations

import importlib
from typing import Any

from engines.errors import EngineError
from engines.target import Target

_PACKAGES = {Target.tensorrt: "tensorrt", Target.tensorrt_rtx: "tensorrt_rtx"}
_INSTALL = {
    Target.tensorrt: "it is in NVIDIA's containers (docs/container.md), or of NVIDIA's own package index",
    Target.tensorrt_rtx: "run `make tensorrt-rtx`",
}


def tensorrt(target: Target) -> Any:
    """The package's module. Raises EngineError where it is not installed or cannot be loaded."""
    package = _PACKAGES[target]
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise EngineError(f"the Python package {package} is not here ({error}): {_INSTALL[target]}") from None
    if not hasattr(module, "Builder"):  # PyPI's `tensorrt` without NVIDIA's libraries behind it
        raise EngineError(f"the Python package {package} has nothing in it: {_INSTALL[target]}")
    return module
