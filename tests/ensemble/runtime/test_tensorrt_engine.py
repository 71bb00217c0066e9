"""An engine that cannot be served says why in one line, before anything is served; with the real TensorRT for RTX."""

from __future__ import annotations

import importlib.util
import sys
import types

import pytest

from facegate_ensemble.runtime.inference_error import NetFault
from facegate_ensemble.runtime.tensorrt.engine import Engine, engine_in
from facegate_ensemble.runtime.tensorrt.log import log_of
from facegate_ensemble.runtime.tensorrt.session import TensorRtSession
from support.fake_gpu import engine_bytes, made_gpu
from support.missing import cannot_be_had

DRIVER = "libcuda.so.1"


def engine_file(tmp_path, content, name="model.plan"):
    path = tmp_path / "face_detector" / "1" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def fault_of(path, most=8):
    with pytest.raises(NetFault) as caught:
        Engine(path, most)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def gpu(monkeypatch):
    yield from made_gpu(monkeypatch)


IMAGES = ("IMAGES", "UINT8", (-1, 4, 4, 3))
SCORES = ("SCORES", "FLOAT", (-1, 5))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tensors": [("IMAGES", "INT8", (-1, 4, 4, 3)), SCORES]}, "an input IMAGES, INT8 [-1, 4, 4, 3]"),
        ({"tensors": [("IMAGES", "UINT8", (-1, 3, 4, 4)), SCORES]}, "an input IMAGES, UINT8 [-1, 3, 4, 4]"),
        ({"tensors": [("IMAGES", "UINT8", (-1, -1, -1, 3)), SCORES]}, "an input IMAGES, UINT8 [-1, -1, -1, 3]"),
        ({"tensors": [IMAGES, ("SCORES", "HALF", (-1, 5))]}, "an output SCORES, HALF [-1, 5]"),
        ({"tensors": [IMAGES, ("SCORES", "FLOAT", (-1, -1))]}, "an output SCORES, FLOAT [-1, -1]"),
        ({"tensors": [IMAGES, ("IMAGES_2", "UINT8", (-1, 4, 4, 3)), SCORES]}, "2 inputs and 1 outputs"),
        ({"tensors": [IMAGES]}, "1 inputs and 0 outputs"),
        ({"least": 2}, "takes batches of 2 to 8, and the pack wants 1 to 8"),
        ({"most": 4}, "takes batches of 1 to 4, and the pack wants 1 to 8"),
        ({"tensors": [IMAGES, ("SCORES", "FLOAT", (1, 5))]}, "answers 1 rows of SCORES to every batch"),
        ({"tensors": [IMAGES, SCORES, ("BOXES", "FLOAT", (8, 5, 4))]}, "answers 8 rows of BOXES to every batch"),
    ],
)
def test_an_engine_that_is_not_as_a_served_net_is_says_what_it_has(gpu, tmp_path, changes, said):
    text = fault_of(engine_file(tmp_path, engine_bytes(**changes)))
    assert text.startswith("face_detector: 1/model.plan ") and said in text and "facegate build" in text


ONE_IMAGE = ("IMAGES", "UINT8", (1, 4, 4, 3))


@pytest.mark.parametrize("rows", [-1, 1])
def test_an_engine_of_batches_of_one_is_served(gpu, tmp_path, rows):
    path = engine_file(tmp_path, engine_bytes(most=1, tensors=[ONE_IMAGE, ("SCORES", "FLOAT", (rows, 5))]))
    engine = Engine(path, 1)
    assert (engine.input.row, engine.outputs[0].row) == ((4, 4, 3), (5,))


def test_an_engine_of_batches_of_one_that_answers_more_is_not(gpu, tmp_path):
    path = engine_file(tmp_path, engine_bytes(most=1, tensors=[ONE_IMAGE, ("SCORES", "FLOAT", (2, 5))]))
    assert "answers 2 rows of SCORES" in fault_of(path, 1)


def test_an_engine_that_cannot_be_loaded_names_tensorrts_version_and_first_error(gpu, tmp_path, capfd):
    text = fault_of(engine_file(tmp_path, b"not an engine"))
    assert text == (
        "face_detector: 1/model.plan cannot be loaded by tensorrt 11.4.0: magicTag is wrong and so on: "
        "run `facegate build` again, on this machine"
    )
    assert capfd.readouterr() == ("", "")


def test_the_error_of_one_net_is_not_told_of_the_next(gpu, tmp_path):
    fault_of(engine_file(tmp_path, b"not an engine"))
    gpu.fail_at = gpu.fallible + 2
    assert "it gives no reason" in fault_of(engine_file(tmp_path / "other", engine_bytes()))


@pytest.mark.parametrize(("name", "package"), [("model.plan", "tensorrt"), ("model.rtx", "tensorrt_rtx")])
def test_a_package_that_is_missing_is_named_before_the_gpu_is_asked_for(monkeypatch, tmp_path, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NetFault, match=rf"^face_detector: {package}, the package that runs {name}, is not installed: "):
        TensorRtSession(engine_file(tmp_path, b"", name), 8)


def test_an_empty_package_is_as_good_as_none(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorrt", types.ModuleType("tensorrt"))
    with pytest.raises(NetFault, match=r"^face_detector: tensorrt, .* has nothing in it: .*NVIDIA's own package index"):
        TensorRtSession(engine_file(tmp_path, b""), 8)


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(
        NetFault, match=r"^face_detector: an engine is a \.plan or \.rtx file, and net\.trt is neither$"
    ):
        TensorRtSession(engine_file(tmp_path, b"", "net.trt"), 8)


def test_a_plan_is_taken_before_an_engine_for_rtx_and_without_either_it_is_a_fault(tmp_path):
    rtx = engine_file(tmp_path, b"", "model.rtx")
    assert engine_in(rtx.parent) == rtx
    plan = rtx.with_name("model.plan")
    plan.write_bytes(b"")
    assert engine_in(rtx.parent) == plan
    rtx.unlink()
    plan.unlink()
    with pytest.raises(NetFault, match=r"^face_detector: there is neither model\.plan nor model\.rtx in its 1/: "):
        engine_in(rtx.parent)


# With the real package; without a driver it goes as far as loading.


@pytest.fixture(scope="module")
def rtx_engine(request, repository, tmp_path_factory):
    """The smallest served net compiled by the real TensorRT for RTX, which needs no GPU for that."""
    if not importlib.util.find_spec("tensorrt_rtx"):
        cannot_be_had(request.config, "TensorRT for RTX is not installed: run `make tensorrt-rtx`")
    import tensorrt_rtx as trt

    log = log_of(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    assert parser.parse((repository / "minifasnet_v2" / "1" / "model.onnx").read_bytes())
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    profile.set_shape("CROPS", (1, 80, 80, 3), (4, 80, 80, 3), (8, 80, 80, 3))
    config.add_optimization_profile(profile)
    return engine_file(
        tmp_path_factory.mktemp("rtx"), bytes(builder.build_serialized_network(network, config)), "model.rtx"
    )


@pytest.fixture
def no_driver():
    import ctypes

    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return
    pytest.skip("this machine has an NVIDIA driver")


def test_without_a_driver_the_real_package_is_asked_nothing_and_the_line_is_about_the_driver(
    rtx_engine, no_driver, capfd
):
    with pytest.raises(NetFault, match=r"^face_detector: there is no NVIDIA driver here \(libcuda\.so\.1 cannot be"):
        TensorRtSession(rtx_engine, 8)
    assert capfd.readouterr() == ("", "")


def test_what_the_real_tensorrt_says_of_a_machine_without_a_gpu_is_quoted_and_not_printed(rtx_engine, no_driver, capfd):
    text = fault_of(rtx_engine)
    assert text.startswith("face_detector: 1/model.rtx cannot be loaded by tensorrt_rtx 1.")
    assert "CUDA driver version is insufficient" in text
    assert capfd.readouterr() == ("", "")


def test_the_real_tensorrt_says_what_is_wrong_with_a_file_that_is_no_engine(rtx_engine, tmp_path, capfd):
    text = fault_of(engine_file(tmp_path, b"x" * 1_000_000, "model.rtx"))
    assert "incompatible serialization version" in text
    assert capfd.readouterr() == ("", "")
