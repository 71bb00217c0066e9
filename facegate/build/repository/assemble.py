"""Puts together a repository that Triton can serve: model_repository/ with weights and a pack's dimensions."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from google.protobuf import text_format
from pydantic import ValidationError
from tritonclient.grpc import model_config_pb2

from facegate.errors import EngineError
from facegate_client import contract
from facegate_ensemble.pack import DETECTOR, RECOGNIZER, Detector, Pack, Recognizer
from facegate_ensemble.runtime.onnx.session import CPU_GRAPH, GRAPH

ENSEMBLES = (contract.ANALYZE, contract.VERIFY)
ONNXRUNTIME = Path("configs/onnxruntime.pbtxt")


def assemble(
    pack: Pack,
    licences: Mapping[str, str],
    graphs: Mapping[str, onnx.ModelProto],
    form: Path,
    repository: Path,
    cpu_graphs: Mapping[str, onnx.ModelProto],
) -> None:
    """Write `repository` from the readable `form` (model_repository/) with the served `graphs` by model name, and what
    ONNX Runtime is given in their place on a CPU.

    `licences` are those of the nets, by model name; the ensembles' is the pack's.
    """
    for model, graph in graphs.items():
        (repository / model / "1").mkdir(parents=True)
        onnx.save(graph, repository / model / "1" / GRAPH)
    for model, graph in cpu_graphs.items():
        onnx.save(graph, repository / model / "1" / CPU_GRAPH)
    for model in ENSEMBLES:
        (repository / model / "1").mkdir(parents=True)
        shutil.copyfile(form / model / "1" / "model.py", repository / model / "1" / "model.py")
    for model in (*graphs, *ENSEMBLES):
        readable = form / _template(pack, model)
        for config in (Path("config.pbtxt"), ONNXRUNTIME):
            written = repository / model / config
            written.parent.mkdir(parents=True, exist_ok=True)
            filled = _filled(pack, model, graphs.get(model), (readable / config).read_text(encoding="utf-8"))
            if model in cpu_graphs and config == ONNXRUNTIME:
                filled.default_model_filename = CPU_GRAPH  # where NVIDIA's own Triton runs it, it is for the CPU
            filled.parameters["licence"].string_value = licences.get(model, pack.licence)
            written.write_text(text_format.MessageToString(filled), encoding="utf-8")


def _template(pack: Pack, model: str) -> str:
    """Which model of the readable form a model has its configuration from."""
    if model in ENSEMBLES:
        return model
    net = pack.nets[model]
    return DETECTOR if isinstance(net, Detector) else RECOGNIZER if isinstance(net, Recognizer) else "minifasnet_v2"


def packed(repository: Path) -> Pack:
    """The pack that `repository` was assembled with. Raises EngineError where it has none that can be read."""
    config = model_config_pb2.ModelConfig()
    try:
        text_format.Parse((repository / contract.ANALYZE / "config.pbtxt").read_text(encoding="utf-8"), config)
        return Pack.model_validate_json(config.parameters["pack"].string_value)
    except (OSError, ValueError, text_format.ParseError, ValidationError):
        raise EngineError(f"{repository.name}: {contract.ANALYZE} has no configuration that can be read") from None


def _filled(pack: Pack, model: str, graph: onnx.ModelProto | None, text: str) -> Any:
    """A readable configuration with what this pack makes of it; a net's dimensions are its graph's own."""
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    config.name = model
    if graph is None:
        config.parameters["pack"].string_value = pack.model_dump_json()
        dims = {contract.EMBEDDINGS: [-1, pack.recognizer.dimension]}
    else:
        config.max_batch_size = pack.nets[model].max_batch
        tensors = (*graph.graph.input, *graph.graph.output)
        dims = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]] for value in tensors}
        if config.optimization.cuda.graphs:
            _size_gpu_settings(config, dims)
    for tensor in (*config.input, *config.output):
        tensor.dims[:] = dims.get(tensor.name, list(tensor.dims))
    return config


def _size_gpu_settings(config: Any, dims: Mapping[str, list[int]]) -> None:
    """CUDA graphs for the powers of two up to the largest batch, and a warm-up of the smallest and of the largest."""
    name, batches = config.input[0].name, config.max_batch_size
    del config.optimization.cuda.graph_spec[:]
    for power in range(batches.bit_length()):
        spec = config.optimization.cuda.graph_spec.add(batch_size=1 << power)
        spec.input[name].dim[:] = dims[name]
    del config.model_warmup[:]
    for rows in sorted({1, batches}):
        warmup = config.model_warmup.add(name=f"batch of {rows}", batch_size=rows)
        warmup.inputs[name].data_type = config.input[0].data_type
        warmup.inputs[name].dims[:] = dims[name]
        warmup.inputs[name].zero_data = True
