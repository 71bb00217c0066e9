"""ONNX Runtime on CUDA, or a fault: never the CPU in silence."""

from __future__ import annotations

import onnxruntime
import pytest

from ensemble import onnx_session
from ensemble.net_fault import NetFault
from ensemble.onnx_inferer import OnnxInferer
from ensemble.onnx_session import OnnxSession, provider_asked_for


def test_the_onnxruntime_without_cuda_names_the_one_that_has_it(pack, repository, capfd):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(
        NetFault, match=r"^face_detector: ONNX Runtime \S+ cannot run it with CUDA: .* install onnxruntime-gpu instead"
    ):
        OnnxInferer(repository, pack.nets, "cuda")
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_onnx_runtime_drops_is_a_fault_that_says_why(monkeypatch, repository):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(
        NetFault, match=r"^minifasnet_v2: .* with CUDA: .*libonnxruntime_providers_cuda\.so: cannot open"
    ):
        OnnxSession(repository / "minifasnet_v2" / "1" / "model.onnx", 8, "cuda")


def test_on_cuda_a_full_batch_is_the_nets_own(monkeypatch, repository):
    graph = repository / "minifasnet_v2" / "1" / "model.onnx"
    monkeypatch.setattr(
        onnx_session,
        "_on_cuda",
        lambda path, options, device, net: onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]),
    )
    assert (OnnxSession(graph, 32, "cuda").full_batch, OnnxSession(graph, 32).full_batch) == (32, 8)


def test_the_environment_chooses_and_what_it_must_not_say_is_refused(monkeypatch):
    monkeypatch.delenv("FACEGATE_PROVIDER", raising=False)
    assert provider_asked_for() == "cpu"
    monkeypatch.setenv("FACEGATE_PROVIDER", "cuda")
    assert provider_asked_for() == "cuda"
    monkeypatch.setenv("FACEGATE_PROVIDER", "gpu")
    with pytest.raises(ValueError, match=r"^FACEGATE_PROVIDER is cpu or cuda, not 'gpu'$"):
        provider_asked_for()
