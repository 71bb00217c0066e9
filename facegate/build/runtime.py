"""What compiles and runs engines on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnxruntime

from facegate.build.device import Gpu, NoGpuError, gpus
from facegate.build.errors import EngineError
from facegate.build.target import Target
from facegate.build.tensorrt.flavour import tensorrt


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
