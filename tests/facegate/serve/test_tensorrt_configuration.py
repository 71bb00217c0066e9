"""The default configuration, TensorRT's, loaded by a real Triton: what the container is given. Only the engines' runs,
which need a GPU, are done by ONNX Runtime, on the very graphs that the engines were built of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc
from tritonclient.grpc import model_config_pb2

from facegate.build.repository.stamp import Stamp, read_stamp, stamp_file
from facegate.packs.pack_file import PackFile
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.triton import handlers
from support.changed_models import sealed
from support.nvidia_root import make_root, serving_from
from support.serving import ROOT, Server
from support.wire import encoded, infer

STAND_IN = ROOT / "tests" / "support" / "tensorrt_on_cpu.py"
NETS = ["face_detector", "face_detector_256x256", "face_recognizer", "minifasnet_v2", "minifasnet_v1se"]
CONFIGURATIONS = ["tensorrt", "onnxruntime"]
TYPES = {"UINT8": onnx.TensorProto.UINT8, "FP32": onnx.TensorProto.FLOAT}


@pytest.fixture(scope="module")
def stamps(rtx_repository: Path) -> dict[str, Stamp]:
    return {net: read_stamp(rtx_repository / net / "1" / "model.rtx") for net in NETS}


@pytest.fixture(scope="module")
def plans(rtx_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as it is for TensorRT itself, whose engines are named otherwise."""
    copy = tmp_path_factory.mktemp("plans") / "repository"
    shutil.copytree(rtx_repository, copy)
    for engine in copy.glob("*/1/model.rtx"):
        stamp_file(engine).rename(stamp_file(engine.with_name("model.plan")))
        engine.rename(engine.with_name("model.plan"))
    sealed(copy)
    return copy


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What NVIDIA's image has in /opt/tritonserver, made of the embedded server's parts and the stand-in."""
    made = make_root(tmp_path_factory.mktemp("opt") / "tritonserver")
    (made / "backends/tensorrt").mkdir()
    shutil.copyfile(STAND_IN, made / "backends/tensorrt/model.py")
    return made


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def served(
    request: pytest.FixtureRequest, root: Path, plans: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp(request.param) / "log"
    with serving_from(root, log, plans, {"TRT_GRAPHS": str(plans)}, backend=request.param) as server:
        yield server


@pytest.fixture
def client(served: Server) -> Iterator[tritonclient.grpc.InferenceServerClient]:
    with tritonclient.grpc.InferenceServerClient(served.grpc) as opened:
        yield opened


@pytest.mark.parametrize("net", NETS)
def test_every_tensor_is_the_graphs_own(client: Any, plans: Path, net: str) -> None:
    metadata = client.get_model_metadata(net)
    graph = onnx.load(plans / net / "1" / "model.onnx").graph
    for told, own in ((metadata.inputs, graph.input), (metadata.outputs, graph.output)):
        assert {tensor.name: (TYPES[tensor.datatype], list(tensor.shape)) for tensor in told} == {
            value.name: (
                value.type.tensor_type.elem_type,
                [-1, *(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])],
            )
            for value in own
        }


@pytest.mark.parametrize("net", NETS)
def test_tritons_largest_batch_is_the_engines(client: Any, stamps: dict[str, Stamp], net: str) -> None:
    config = client.get_model_config(net).config
    profile = stamps[net].profile
    assert config.max_batch_size == profile["max"]
    assert profile["min"] == 1
    assert 1 <= profile["opt"] <= profile["max"]
    assert config.dynamic_batching.default_queue_policy.max_queue_size > 0
    assert config.dynamic_batching.default_queue_policy.timeout_action == model_config_pb2.ModelQueuePolicy.REJECT


@pytest.mark.parametrize("net", NETS)
def test_cuda_graphs_and_warm_up_are_of_batches_that_the_engine_takes(
    client: Any, stamps: dict[str, Stamp], net: str
) -> None:
    config = client.get_model_config(net).config
    if config.backend == "onnxruntime":
        assert not config.optimization.cuda.graphs
        return
    picture, most = list(config.input[0].dims), stamps[net].profile["max"]
    assert config.platform == "tensorrt_plan"
    graphs = config.optimization.cuda
    assert graphs.graphs
    assert not graphs.output_copy_stream, "with graphs it answers with another request's data"
    assert [spec.batch_size for spec in graphs.graph_spec] == [1 << n for n in range(8) if 1 << n <= most]
    assert all(list(spec.input[config.input[0].name].dim) == picture for spec in graphs.graph_spec)
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, most]
    assert all(list(warmup.inputs[config.input[0].name].dims) == picture for warmup in config.model_warmup)


def test_the_ensemble_asks_triton_for_the_nets_and_wants_its_inputs_on_the_cpu(client: Any, served: Server) -> None:
    for ensemble in ("face_analyze", "face_verify"):
        config = client.get_model_config(ensemble).config
        asked = {name: config.parameters[name].string_value for name in ("inferer", "FORCE_CPU_ONLY_INPUT_TENSORS")}
        tensorrt = client.get_model_config("face_detector").config.platform == "tensorrt_plan"
        assert asked["inferer"] == ("bls" if tensorrt else "onnxruntime")
        assert asked["FORCE_CPU_ONLY_INPUT_TENSORS"] == ("yes" if tensorrt else "")


def test_a_verdict_is_the_one_of_a_plain_process(
    served: Server, plans: Path, pack: PackFile, samples: dict[str, Path]
) -> None:
    pipeline = Pipeline(pack, OnnxInferer(plans, pack.nets))
    pair = [encoded("IMAGE_1", samples["image_T1.jpg"]), encoded("IMAGE_2", samples["image_F2.jpg"])]
    there = infer("grpc", served.grpc, "face_verify", pair, anti_spoofing=True).outputs
    here = handlers.verify(pipeline, dict(pair), '{"anti_spoofing": true}')
    assert not there["VERIFIED"][0]
    assert there["IS_REAL_1"][0]
    assert not there["IS_REAL_2"][0]
    for name in ("DISTANCE", "ANTISPOOF_SCORE_1", "ANTISPOOF_SCORE_2", "BOX_1", "BOX_2"):
        assert np.allclose(there[name], here[name], rtol=1e-4, atol=1e-3), name


def test_a_batch_of_a_client_is_answered_row_for_row_and_one_too_large_is_refused(served: Server) -> None:
    crops = np.random.default_rng(3).integers(0, 256, (33, 80, 80, 3), dtype=np.uint8)
    answer = infer("grpc", served.grpc, "minifasnet_v2", [("CROPS", crops[:32])])
    assert answer.outputs["PROBABILITIES"].shape == (32, 3)
    refusal = infer("grpc", served.grpc, "minifasnet_v2", [("CROPS", crops)])
    assert "batch-size must be <= 32" in str(refusal.message)
