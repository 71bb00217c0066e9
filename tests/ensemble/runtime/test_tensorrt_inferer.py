"""Engines behind the pipeline's interface, and behind Triton's Python backend."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import types
from functools import partial

import numpy as np
import pytest

from facegate.serve.embedded import PYTHON_BACKED
from facegate_ensemble.runtime.inference_error import NetFault
from facegate_ensemble.runtime.runner import NetUnavailable
from facegate_ensemble.runtime.tensorrt.runner import TensorRtInferer
from support.fake_gpu import answer, engine_bytes, made_gpu

PICTURES = np.random.default_rng(0).integers(0, 256, (11, 4, 4, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    yield from made_gpu(monkeypatch)


@pytest.fixture
def nets(pack):
    return {net: settings.model_copy(update={"max_batch": 4}) for net, settings in pack.nets.items()}


def add(repository, net, name="model.plan"):
    folder = repository / net / "1"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(engine_bytes())
    return folder


def test_a_net_of_the_repository_is_run_on_the_gpu_and_one_without_a_directory_is_not_served(tmp_path, nets):
    add(tmp_path, "face_detector")
    add(tmp_path, "face_recognizer", "model.rtx")
    inferer = TensorRtInferer(tmp_path, nets)
    for net in ("face_detector", "face_recognizer"):
        assert inferer.serves(net) and inferer.chunk(net, 11) == 4
        outputs = inferer.infer(net, PICTURES)
        np.testing.assert_array_equal(outputs["SCORES"], answer(PICTURES, (5,)))
    assert not inferer.serves("minifasnet_v2")
    with pytest.raises(NetUnavailable, match="minifasnet_v2"):
        inferer.infer("minifasnet_v2", PICTURES)


def test_requests_for_different_nets_at_the_same_time_are_answered_each_for_its_own(tmp_path, nets):
    for net in nets:
        add(tmp_path, net)
    inferer = TensorRtInferer(tmp_path, nets)

    works = [partial(inferer.infer, net, PICTURES[at:]) for at in range(5) for net in nets]
    given = iter(inferer.lanes.together(works))
    for at in range(5):
        for _ in nets:
            np.testing.assert_array_equal(next(given)["BOXES"], answer(PICTURES[at:], (5, 4)))


def test_a_net_whose_directory_has_no_engine_is_a_fault_before_any_gpu_is_used(tmp_path, nets, gpu):
    add(tmp_path, "face_detector")
    add(tmp_path, "face_recognizer", "model.onnx")
    with pytest.raises(NetFault, match=r"^face_recognizer: there is neither model\.plan nor model\.rtx"):
        TensorRtInferer(tmp_path, nets)
    assert gpu.calls == []


# The backend "tensorrt" in Python. Triton's own side of it is made: it is there in its stub only.


class Request:
    def __init__(self, batch):
        self.batch = batch


class Response(dict):
    def __init__(self, tensors=(), error=None):
        super().__init__(tensors)
        self.error = error


class Refusal:
    INTERNAL = "Triton's INTERNAL"

    def __init__(self, message, code):
        self.message, self.code = message, code


@pytest.fixture
def backend(monkeypatch):
    triton = types.ModuleType("triton_python_backend_utils")
    triton.get_input_tensor_by_name = lambda request, name: types.SimpleNamespace(as_numpy=lambda: request.batch)
    triton.Tensor = lambda name, values: (name, values)
    triton.InferenceResponse = Response
    triton.TritonError = Refusal
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", triton)
    monkeypatch.delitem(sys.modules, "facegate_ensemble.triton.model_backend", raising=False)
    spec = importlib.util.spec_from_file_location("model", PYTHON_BACKED / "tensorrt" / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TritonPythonModel()


def start(backend, folder, **changes):
    config = {
        "max_batch_size": 8,
        "input": [{"name": "IMAGES"}],
        "output": [{"name": "SCORES"}, {"name": "BOXES"}],
        **changes,
    }
    backend.initialize(
        {
            "model_name": folder.parent.name,
            "model_config": json.dumps(config),
            "model_repository": str(folder.parent),
            "model_version": folder.name,
            "model_instance_device_id": "0",
        }
    )


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("model.plan", {}),
        ("model.rtx", {"default_model_filename": ""}),
        ("model.rtx", {"default_model_filename": "model.plan"}),  # as Triton 2.51 hands it over where it names none
        ("small.plan", {"default_model_filename": "small.plan"}),
    ],
)
def test_requests_that_triton_hands_over_together_are_one_run_and_answered_each(backend, tmp_path, gpu, file, changes):
    start(backend, add(tmp_path, "face_detector", file), **changes)
    gpu.calls.clear()
    batches = [PICTURES[:1], PICTURES[1:3], PICTURES[3:4]]
    answers = backend.execute([Request(batch) for batch in batches])
    assert gpu.calls.count("htod") + gpu.calls.count("cuGraphLaunch") == 1
    for batch, given in zip(batches, answers, strict=True):
        assert list(given) == ["SCORES", "BOXES"]
        np.testing.assert_array_equal(given["SCORES"], answer(batch, (5,)))
        np.testing.assert_array_equal(given["BOXES"], answer(batch, (5, 4)))
    backend.finalize()
    gpu.everything_is_back()


def test_a_run_that_fails_is_one_line_to_every_caller_and_the_log_has_the_rest(backend, tmp_path, gpu, capfd):
    start(backend, add(tmp_path, "face_detector"))
    gpu.fail_at = gpu.fallible + 1
    answers = backend.execute([Request(PICTURES[:1]), Request(PICTURES[1:3])])
    (message,) = {each.error.message for each in answers}
    assert re.fullmatch(r"INTERNAL: a fault in face_detector; the server's log has incident [0-9a-f]{8}", message)
    assert [(dict(each), each.error.code) for each in answers] == [({}, Refusal.INTERNAL)] * 2
    log = capfd.readouterr().err
    assert f"face_detector: incident {message[-8:]}\nTraceback" in log
    assert "NetFault: face_detector: a run of 3 rows failed: " in log
    (next_one,) = backend.execute([Request(PICTURES[:1])])
    np.testing.assert_array_equal(next_one["SCORES"], answer(PICTURES[:1], (5,)))
    backend.finalize()
    gpu.everything_is_back()
