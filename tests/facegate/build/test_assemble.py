"""The repository that Triton is given: the readable form, and what assembly makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc import model_config_pb2

from facegate.build.paths import TEMPLATES
from facegate.build.repository.assemble import ENSEMBLES, assemble
from facegate_ensemble.pack import Pack

DEFAULT, ONNXRUNTIME = Path("config.pbtxt"), Path("configs/onnxruntime.pbtxt")
CONFIGS = [DEFAULT, ONNXRUNTIME]
NETS = ["face_detector", "face_recognizer", "minifasnet_v2", "minifasnet_v1se"]
"""Those that have a readable configuration."""
MODELS = [*NETS, *ENSEMBLES]
Config = Any  # protobuf's classes have no types


def parsed(path: Path) -> Config:
    return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())


def dims(config: Config) -> dict[str, list[int]]:
    return {tensor.name: list(tensor.dims) for tensor in (*config.input, *config.output)}


def graph(inputs: dict[str, list[int]], outputs: dict[str, list[int]]) -> onnx.ModelProto:
    """A served graph's signature; assembly reads no more."""
    taken = [helper.make_tensor_value_info(name, TensorProto.UINT8, ["B", *after]) for name, after in inputs.items()]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", *after]) for name, after in outputs.items()]
    return helper.make_model(helper.make_graph([], "served", taken, given))


@pytest.fixture(scope="module")
def other(pack: Pack) -> Pack:
    """A pack whose every size differs from the default's, and which names a liveness net of its own."""
    values = pack.model_dump(mode="json", exclude={"files", "archives"})
    values["detector"] |= {"height": 320, "width": 480, "max_batch": 3, "candidates": 99, "second_look": [160, 256]}
    values["recognizer"] |= {"height": 128, "width": 96, "max_batch": 5, "dimension": 512}
    values["liveness"]["nets"][1] |= {"name": "another_net", "height": 60, "width": 70, "max_batch": 7}
    return Pack.model_validate(values)


@pytest.fixture(scope="module")
def repository(other: Pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    graphs = {
        "face_detector": graph({"IMAGES": [320, 480, 3]}, {"BOXES": [99, 4], "SCORES": [99], "LANDMARKS": [99, 5, 2]}),
        "face_detector_160x256": graph(
            {"IMAGES": [160, 256, 3]}, {"BOXES": [88, 4], "SCORES": [88], "LANDMARKS": [88, 5, 2]}
        ),
        "face_recognizer": graph({"FACES": [128, 96, 3]}, {"EMBEDDINGS": [512]}),
        "minifasnet_v2": graph({"CROPS": [80, 80, 3]}, {"PROBABILITIES": [3]}),
        "another_net": graph({"CROPS": [60, 70, 3]}, {"PROBABILITIES": [3]}),
    }
    folder = tmp_path_factory.mktemp("assembled") / "repository"
    assemble(other, {"face_recognizer": "of its own"}, graphs, TEMPLATES, folder, {})
    return folder


def test_the_readable_form_has_every_model_and_no_other() -> None:
    assert {path.name for path in TEMPLATES.iterdir() if path.is_dir()} == set(MODELS)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_readable_configuration_is_one_of_its_model(model: str, config: Path) -> None:
    assert parsed(TEMPLATES / model / config).name == model


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_no_input_has_a_variable_dimension_but_flat_bytes(model: str, config: Path) -> None:
    bytes_each = ("TYPE_UINT8", "TYPE_INT8", "TYPE_BOOL")
    for tensor in parsed(TEMPLATES / model / config).input:
        if -1 in tensor.dims:
            assert list(tensor.dims) == [-1]
            assert model_config_pb2.DataType.Name(tensor.data_type) in bytes_each


@pytest.mark.parametrize("model", MODELS)
def test_a_model_takes_and_answers_the_same_in_both_configurations(model: str) -> None:
    default, other = (parsed(TEMPLATES / model / config) for config in CONFIGS)
    assert list(default.input) == list(other.input)
    assert list(default.output) == list(other.output)
    assert default.max_batch_size == other.max_batch_size


@pytest.mark.parametrize("model", NETS)
def test_a_net_is_a_tensorrt_plan_by_default_and_an_onnx_graph_where_that_is_asked_for(model: str) -> None:
    default, other = (parsed(TEMPLATES / model / config) for config in CONFIGS)
    assert (default.platform, default.backend) == ("tensorrt_plan", "")
    assert (other.platform, other.backend) == ("", "onnxruntime")


@pytest.mark.parametrize("model", ENSEMBLES)
def test_an_ensemble_asks_triton_for_its_nets_by_default_and_runs_them_itself_under_onnx_runtime(model: str) -> None:
    default, other = (parsed(TEMPLATES / model / config) for config in CONFIGS)
    assert {default.backend, other.backend} == {"python"}
    assert default.max_batch_size == 0
    assert default.parameters["inferer"].string_value == "bls"
    assert other.parameters["inferer"].string_value == "onnxruntime"


def test_the_readable_dimensions_are_the_default_packs(pack: Pack) -> None:
    for model, net in pack.nets.items():
        if model not in NETS:
            continue  # the second look has the detector's configuration
        config = parsed(TEMPLATES / model / DEFAULT)
        assert list(config.input[0].dims) == [net.height, net.width, 3]
        assert config.max_batch_size == net.max_batch
    assert dims(parsed(TEMPLATES / "face_recognizer" / DEFAULT))["EMBEDDINGS"] == [pack.recognizer.dimension]
    assert dims(parsed(TEMPLATES / "face_detector" / DEFAULT))["SCORES"] == [pack.detector.candidates]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_assembly_writes_the_graphs_dimensions_and_the_packs_batch(repository: Path, config: Path) -> None:
    detector = parsed(repository / "face_detector" / config)
    assert dims(detector) == {"IMAGES": [320, 480, 3], "BOXES": [99, 4], "SCORES": [99], "LANDMARKS": [99, 5, 2]}
    assert detector.max_batch_size == 3
    second = parsed(repository / "face_detector_160x256" / config)
    assert (second.name, second.max_batch_size) == ("face_detector_160x256", 3)
    assert dims(second) == {"IMAGES": [160, 256, 3], "BOXES": [88, 4], "SCORES": [88], "LANDMARKS": [88, 5, 2]}
    specs = [list(spec.input["IMAGES"].dim) for spec in second.optimization.cuda.graph_spec]
    assert specs == ([[160, 256, 3]] * 2 if config == DEFAULT else [])
    recognizer = parsed(repository / "face_recognizer" / config)
    assert dims(recognizer) == {"FACES": [128, 96, 3], "EMBEDDINGS": [512]}
    assert recognizer.max_batch_size == 5


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_liveness_net_with_a_name_of_its_own_has_the_minifasnets_form(repository: Path, config: Path) -> None:
    net = parsed(repository / "another_net" / config)
    assert (net.name, net.max_batch_size) == ("another_net", 7)
    assert dims(net) == {"CROPS": [60, 70, 3], "PROBABILITIES": [3]}


@pytest.mark.parametrize("model", ENSEMBLES)
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_an_ensemble_is_told_the_whole_pack(repository: Path, other: Pack, model: str, config: Path) -> None:
    assembled = parsed(repository / model / config)
    assert Pack.model_validate_json(assembled.parameters["pack"].string_value) == other
    assert dims(assembled).get("EMBEDDINGS", [-1, 512]) == [-1, 512]
    readable = parsed(TEMPLATES / model / config)
    assert {name: value for name, value in dims(assembled).items() if name != "EMBEDDINGS"} == {
        name: value for name, value in dims(readable).items() if name != "EMBEDDINGS"
    }
    assert assembled.parameters["permits"] == readable.parameters["permits"]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_every_model_names_its_licence(repository: Path, other: Pack, config: Path) -> None:
    named = {model: parsed(repository / model / config).parameters["licence"].string_value for model in MODELS[:2]}
    assert named == {"face_detector": other.licence, "face_recognizer": "of its own"}
    for model in ENSEMBLES:
        assert parsed(repository / model / config).parameters["licence"].string_value == other.licence


def test_every_assembled_model_has_what_triton_loads(repository: Path, other: Pack) -> None:
    assert {path.name for path in repository.iterdir()} == {*other.nets, *ENSEMBLES}
    for model in other.nets:
        assert onnx.load(repository / model / "1" / "model.onnx").graph.name == "served"
    for model in ENSEMBLES:
        assert (repository / model / "1" / "model.py").read_text() == (TEMPLATES / model / "1" / "model.py").read_text()


def test_a_net_that_is_left_out_is_not_in_the_repository(other: Pack, tmp_path: Path) -> None:
    only = {"minifasnet_v2": graph({"CROPS": [80, 80, 3]}, {"PROBABILITIES": [3]})}
    assemble(other, {}, only, TEMPLATES, tmp_path / "new", {})
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"minifasnet_v2", *ENSEMBLES}
