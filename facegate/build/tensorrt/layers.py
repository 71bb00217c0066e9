"""What an engine is made of, layer by layer, by TensorRT's engine inspector."""

from __future__ import annotations

from typing import Any

from facegate.build.errors import EngineError
from facegate_ensemble.runtime.tensorrt.log import log_of


def layers_of(trt: Any, model: str, plan: bytes) -> str:
    """JSON: the engine's layers with their kernels, types and shapes, as TensorRT writes it.

    Needs a GPU, on which the engine is loaded; raises EngineError where there is none.
    """
    log = log_of(trt)
    log.forget()
    engine = trt.Runtime(log).deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"{model}: no report by layer, since the engine cannot be loaded here: {log.first_error()}")
    return str(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))
