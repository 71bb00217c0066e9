"""TensorRT or TensorRT for RTX: the same Python API under two names."""

from __future__ import annotations

import importlib
from typing import Any

from facegate.build.errors import EngineError
from facegate.build.target import Target
from facegate_ensemble.runtime.tensorrt.engine import INSTALL

_PACKAGES = {Target.tensorrt: "tensorrt", Target.tensorrt_rtx: "tensorrt_rtx"}


def tensorrt(target: Target) -> Any:
    """The package's module. Raises EngineError where it is not installed or cannot be loaded."""
    package = _PACKAGES[target]
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise EngineError(f"the Python package {package} is not here ({error}): {INSTALL[package]}") from None
    if not hasattr(module, "Builder"):  # PyPI's `tensorrt` without NVIDIA's libraries behind it
        raise EngineError(f"the Python package {package} has nothing in it: {INSTALL[package]}")
    return module
