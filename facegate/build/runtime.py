"""What compiles and runs engines on this machine."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import onnxruntime

from facegate.build.device import Gpu, NoGpuError, gpus
from facegate.build.target import Target
from facegate.errors import EngineError
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


@dataclass(frozen=True, slots=True)
class Runtime:
    """The module of TensorRT, None for ONNX Runtime; its version; and the GPU that its engines are bound to, None for
    those that are bound to none."""

    module: Any
    version: str
    gpu: Gpu | None


def runtime(target: Target) -> Runtime:
    """What builds for `target` here. Raises EngineError where nothing does."""
    if target is Target.onnxruntime:
        return Runtime(None, onnxruntime.__version__, None)
    module = tensorrt(target)
    if target is Target.tensorrt_rtx:
        return Runtime(module, module.__version__, None)
    try:
        return Runtime(module, module.__version__, gpus()[0])
    except NoGpuError as error:
        raise EngineError(f"TensorRT builds engines on the GPU that is to run them: {error}") from None
