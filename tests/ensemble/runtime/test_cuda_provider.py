"""ONNX Runtime on CUDA, or a fault: never the CPU in silence."""

from __future__ import annotations

import ctypes
from pathlib import Path

import onnxruntime
import pytest

from facegate_ensemble.runtime.inference_error import NetFault
from facegate_ensemble.runtime.onnx import session as onnx_session
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.runtime.onnx.session import ROWS_AT_ONCE, OnnxSession, provider_asked_for


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


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_the_reason_is_the_systems_own_and_not_that_the_provider_was_loaded_alone(monkeypatch, repository):
    """The library is of the package with CUDA. Loaded before the one it takes its symbols from, it misses those."""
    shared = set()

    def load(path, mode=ctypes.DEFAULT_MODE):
        if mode == ctypes.RTLD_GLOBAL:
            shared.add(Path(path).name)
        elif "libonnxruntime_providers_shared.so" in shared:
            raise OSError("libcudnn.so.9: cannot open shared object file")
        else:
            raise OSError(f"{path}: undefined symbol: Provider_GetHost")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(ctypes, "CDLL", load)
    with pytest.raises(NetFault, match=r"^minifasnet_v2: .* with CUDA: libcudnn\.so\.9: cannot open shared object"):
        OnnxSession(repository / "minifasnet_v2" / "1" / "model.onnx", 8, "cuda")


def test_on_cuda_a_full_batch_is_the_nets_own(monkeypatch, repository):
    graph = repository / "minifasnet_v2" / "1" / "model.onnx"
    monkeypatch.setattr(
        onnx_session,
        "_on_cuda",
        lambda path, options, device, net: onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]),
    )
    assert (OnnxSession(graph, 32, "cuda").full_batch, OnnxSession(graph, 32).full_batch) == (32, ROWS_AT_ONCE)


def test_the_environment_chooses_and_what_it_must_not_say_is_refused(monkeypatch):
    monkeypatch.delenv("FACEGATE_PROVIDER", raising=False)
    assert provider_asked_for() == "cpu"
    monkeypatch.setenv("FACEGATE_PROVIDER", "cuda")
    assert provider_asked_for() == "cuda"
    monkeypatch.setenv("FACEGATE_PROVIDER", "gpu")
    with pytest.raises(ValueError, match=r"^FACEGATE_PROVIDER is cpu or cuda, not 'gpu'$"):
        provider_asked_for()
