"""Served graphs given to NVIDIA's parser and builder, TensorRT for RTX's, which need no GPU."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from facegate.build.compiled import layers_of
from facegate.build.profile import Profile, profile
from facegate.build.runtime import tensorrt
from facegate.build.target import Target
from facegate.build.tensorrt.compile import Cancelled, compile_engine, set_options
from facegate.build.tensorrt.options import Options
from facegate.errors import EngineError
from facegate_ensemble.pack import Pack
from facegate_ensemble.runtime.inference_error import NetFault
from facegate_ensemble.runtime.tensorrt.engine import Engine


@pytest.fixture(scope="module")
def trt() -> Any:
    return tensorrt(Target.tensorrt_rtx)


def ignored(phase: str, done: int, steps: int) -> None:
    """Nobody watches."""


def graph(op: str = "Relu", **attributes: Any) -> bytes:
    """One node between UINT8 [B, 4] and FP32 [B, 4]."""
    nodes = [
        helper.make_node("Cast", ["IN"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node(op, ["floats"], ["OUT"], name="the_node", **attributes),
    ]
    taken = helper.make_tensor_value_info("IN", TensorProto.UINT8, ["B", 4])
    given = helper.make_tensor_value_info("OUT", TensorProto.FLOAT, ["B", 4])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("of.no.one", 1)]
    model = helper.make_model(helper.make_graph(nodes, "small", [taken], [given]), opset_imports=opsets, ir_version=8)
    return model.SerializeToString()


@pytest.mark.parametrize(
    "model", ["face_detector", "face_detector_256x256", "face_recognizer", "minifasnet_v2", "minifasnet_v1se"]
)
def test_every_served_graph_becomes_an_engine(trt: Any, repository: Path, pack: Pack, model: str) -> None:
    served = (repository / model / "1" / "model.onnx").read_bytes()
    phases = []
    engine = compile_engine(
        trt,
        model,
        served,
        profile(pack.nets[model]),
        Options(workspace=256),
        lambda *told: phases.append(told),
        threading.Event(),
    )
    assert len(engine) > 100_000
    assert all(0 <= done <= steps for _, done, steps in phases)
    assert {phase for phase, done, _ in phases if done}, "progress is told"


def test_the_builder_is_told_what_a_user_chose(trt: Any) -> None:
    config = trt.Builder(trt.Logger()).create_builder_config()
    set_options(trt, config, Options())
    assert not config.get_flag(trt.BuilderFlag.TF32), "fp32 would have 10 bits"
    assert not config.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    set_options(trt, config, Options(workspace=64, version_compatible=True, layers=True))
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 64 * 2**20
    assert config.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    assert config.profiling_verbosity == trt.ProfilingVerbosity.DETAILED


def test_a_graph_that_the_parser_refuses_is_named_with_its_node(trt: Any) -> None:
    with pytest.raises(EngineError, match=r"^net: TensorRT's parser refuses the node the_node: "):
        compile_engine(
            trt, "net", graph("Unheard", domain="of.no.one"), Profile(1, 1, 1), Options(), ignored, threading.Event()
        )


def test_bytes_that_are_no_graph_are_refused_in_one_line(trt: Any) -> None:
    with pytest.raises(EngineError, match=r"^net: TensorRT's parser refuses the graph: ") as refusal:
        compile_engine(trt, "net", b"\xff" * 100, Profile(1, 1, 1), Options(), ignored, threading.Event())
    assert "\n" not in str(refusal.value)


def test_a_profile_that_the_graph_cannot_have_is_an_error_and_not_an_empty_engine(trt: Any) -> None:
    fixed = onnx.load_from_string(graph())
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    fixed.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(EngineError, match=r"^net: "):
        compile_engine(trt, "net", fixed.SerializeToString(), Profile(1, 2, 4), Options(), ignored, threading.Event())


def test_a_build_stops_when_it_is_told_to(trt: Any, repository: Path) -> None:
    served = (repository / "face_detector" / "1" / "model.onnx").read_bytes()
    stop, steps = threading.Event(), []

    def interrupt(phase: str, done: int, of: int) -> None:
        steps.append(phase)
        stop.set()

    with pytest.raises(Cancelled):
        compile_engine(trt, "face_detector", served, Profile(1, 1, 1), Options(), interrupt, stop)
    assert len(steps) < 50, "it went on to the end"


def timed(trt: Any, folder: Path) -> bytes:
    return compile_engine(
        trt, "net", graph(), Profile(1, 1, 4), Options(timing_cache=folder), ignored, threading.Event()
    )


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX")  # whose timing cache has nothing in it
def test_a_timing_cache_is_kept_for_the_next_build_and_nothing_beside_it(trt: Any, tmp_path: Path) -> None:
    for _ in range(2):
        timed(trt, tmp_path / "timings")
        (cache,) = (tmp_path / "timings").iterdir()
        assert cache.name == "net.cache"
        assert cache.stat().st_size


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX")  # whose timing cache has nothing in it
def test_a_timing_cache_of_something_else_is_replaced(trt: Any, tmp_path: Path) -> None:
    (tmp_path / "net.cache").write_bytes(b"of something else")
    timed(trt, tmp_path)
    assert (tmp_path / "net.cache").read_bytes() != b"of something else"


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX")  # whose timing cache has nothing in it
def test_a_timing_cache_that_cannot_be_written_leaves_nothing_behind(trt: Any, tmp_path: Path) -> None:
    in_the_way = tmp_path / "net.cache"
    in_the_way.mkdir()
    with pytest.raises(OSError, match=r"net\.cache"):
        timed(trt, tmp_path)
    assert list(tmp_path.iterdir()) == [in_the_way]


def test_what_fails_after_a_build_in_the_same_process_says_its_own_reason(trt: Any, tmp_path: Path) -> None:
    """The precision gate loads engines where they were built, and TensorRT hears of one logger in a process."""
    compile_engine(trt, "net", graph(), Profile(1, 1, 4), Options(), ignored, threading.Event())
    with pytest.raises(EngineError, match="parser refuses"):
        compile_engine(trt, "net", b"\xff" * 100, Profile(1, 1, 1), Options(), ignored, threading.Event())
    path = tmp_path / "net" / "1" / "model.rtx"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 10_000)
    with pytest.raises(NetFault, match=r"^net: 1/model\.rtx cannot be loaded by .*incompatible serialization version"):
        Engine(path, 4)


def test_without_a_gpu_there_is_no_report_by_layer_and_it_says_why(trt: Any) -> None:
    engine = compile_engine(trt, "net", graph(), Profile(1, 1, 1), Options(layers=True), ignored, threading.Event())
    with pytest.raises(EngineError, match=r"^net: no report by layer.*(?i:cuda)"):
        layers_of(trt, "net", engine)


@pytest.mark.parametrize(
    ("target", "options"),
    [
        (Target.tensorrt_rtx, Options(hardware_compatible=True)),
        (Target.tensorrt_rtx, Options(version_compatible=True)),
        (Target.tensorrt_rtx, Options(timing_cache=Path("timings"))),
        (Target.onnxruntime, Options(workspace=1)),
        (Target.onnxruntime, Options(layers=True)),
    ],
)
def test_an_option_that_a_target_does_not_have_is_refused_and_not_ignored(target: Target, options: Options) -> None:
    with pytest.raises(EngineError, match=f"^--[a-z-]+ is not for {target.label}"):
        options.check(target)


def test_tensorrt_that_is_not_installed_is_said_with_where_it_is() -> None:
    with pytest.raises(EngineError, match=r"the Python package tensorrt .*container"):
        tensorrt(Target.tensorrt)


def test_a_detectors_rows_are_frames_and_the_others_are_faces(pack: Pack) -> None:
    assert profile(pack.detector) == Profile(1, 4, 8)
    assert profile(pack.recognizer) == Profile(1, 8, 32)
    assert profile(pack.recognizer.model_copy(update={"max_batch": 2})) == Profile(1, 2, 2)
