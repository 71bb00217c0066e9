"""One ONNX graph compiled to an engine."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facegate.build.profile import Profile
from facegate.build.tensorrt.options import Options
from facegate.errors import EngineError
from facegate_ensemble.runtime.tensorrt.log import log_of

MIB = 1 << 20
Watch = Callable[[str, int, int], None]
"""Told, while an engine is built, of a phase of TensorRT's, the steps of it that are done, and of how many."""


class Cancelled(Exception):
    """The build was asked to stop."""


def compile_engine(
    trt: Any, model: str, graph: bytes, profile: Profile, options: Options, watch: Watch, stop: threading.Event
) -> bytes:
    """The serialized engine of an ONNX graph, whose numbers' types are the network's: a strongly typed network, since
    TensorRT 11 knows no other.

    `trt` is the module of TensorRT or of TensorRT for RTX. Raises EngineError, which names the model and gives
    TensorRT's first error, and Cancelled once `stop` is set.
    """
    log = log_of(trt)
    log.forget()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, model, network, graph, log)
    config = builder.create_builder_config()
    _set_profile(builder, config, network, profile)
    set_options(trt, config, options)
    cache = _read_cache(config, model, options, log)
    config.progress_monitor = _monitor(trt, watch, stop)
    plan = builder.build_serialized_network(network, config)
    if stop.is_set():
        raise Cancelled
    if plan is None:
        raise EngineError(f"{model}: TensorRT cannot build it: {log.first_error()}")
    if cache is not None:
        _write(cache, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _parse(trt: Any, model: str, network: Any, graph: bytes, log: Any) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse(graph):
        return
    faults = [parser.get_error(index) for index in range(parser.num_errors)]
    reason = " ".join(faults[0].desc().split())[:300] if faults else log.first_error()
    node = faults[0].node_name() if faults else ""
    raise EngineError(f"{model}: TensorRT's parser refuses {f'the node {node}' if node else 'the graph'}: {reason}")


def _set_profile(builder: Any, config: Any, network: Any, profile: Profile) -> None:
    entry = network.get_input(0)
    picture = tuple(entry.shape)[1:]
    shapes = builder.create_optimization_profile()
    shapes.set_shape(entry.name, *((rows, *picture) for rows in (profile.min, profile.opt, profile.max)))
    config.add_optimization_profile(shapes)


def set_options(trt: Any, config: Any, options: Options) -> None:
    """Carry a user's choices, and that fp32 is fp32, into a builder's configuration."""
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 that is asked for is fp32, not 10 bits of mantissa
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace * MIB)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.layers:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED


def _read_cache(config: Any, model: str, options: Options, log: Any) -> Path | None:
    """Give the builder the model's timing cache; returns where it is to be written. One of another TensorRT or GPU is
    not used, and then replaced."""
    if options.timing_cache is None:
        return None
    path = options.timing_cache / f"{model}.cache"
    known = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(known)
    if not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)
        log.forget()
    return path


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as scratch:  # gone whatever fails
        fresh = Path(scratch) / path.name
        fresh.write_bytes(data)
        os.replace(fresh, path)


def _monitor(trt: Any, watch: Watch, stop: threading.Event) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps
            watch(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            watch(phase_name, step + 1, self.steps.get(phase_name, step + 1))
            return not stop.is_set()

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

    return Monitor()
