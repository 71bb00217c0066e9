"""NVIDIA's parser and builder take every net in every precision as a strongly typed network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from facegate.build.graphs.served import served_graph
from facegate.build.precision.half import in_precision
from facegate.build.target import Precision
from facegate.packs.pack_file import PackFile
from facegate.packs.shipped import pack_named
from support.missing import cannot_be_had
from support.own_packs import SCRFD


@pytest.fixture(scope="module")
def trt(request: pytest.FixtureRequest) -> Any:
    try:
        import tensorrt_rtx
    except ImportError as error:
        cannot_be_had(request.config, f"TensorRT for RTX is not here: {error}")
    return tensorrt_rtx


@pytest.fixture(scope="module")
def graphs(repository: Path, pictures: Path, pack: PackFile) -> dict[str, onnx.ModelProto]:
    """The default pack's graphs, and "scrfd"."""
    served = {model: onnx.load(repository / model / "1" / "model.onnx") for model in pack.nets}
    scrfd = pictures.parent / "models" / SCRFD
    return {**served, "scrfd": served_graph(pack_named("buffalo_sc"), "face_detector", scrfd)}


@pytest.mark.parametrize(
    "model",
    ["face_detector", "face_detector_256x256", "face_recognizer", "minifasnet_v2", "minifasnet_v1se", "scrfd"],
)
@pytest.mark.parametrize("precision", Precision)
def test_a_net_is_parsed_and_built(
    trt: Any,
    graphs: dict[str, onnx.ModelProto],
    model: str,
    precision: Precision,
) -> None:
    converted = in_precision(graphs[model], precision, ())
    log = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    parsed = parser.parse(converted.SerializeToString())
    assert parsed, [parser.get_error(index).desc() for index in range(parser.num_errors)]
    assert [network.get_output(index).dtype for index in range(network.num_outputs)] == [
        trt.float32 for _ in converted.graph.output
    ]
    source, config, profile = (
        network.get_input(0),
        builder.create_builder_config(),
        builder.create_optimization_profile(),
    )
    picture = tuple(source.shape)[1:]
    profile.set_shape(source.name, (1, *picture), (8, *picture), (8, *picture))
    config.add_optimization_profile(profile)
    assert builder.build_serialized_network(network, config) is not None
