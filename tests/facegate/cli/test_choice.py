"""What `facegate serve` picks by what the machine has, and what it refuses. The GPU is a pretence, the engines no."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facegate.build.device import Gpu, NoGpuError
from facegate.build.repository.stamp import Stamp, read_stamp, write_stamp
from facegate.build.seal import seal
from facegate.build.target import Precision, Target
from facegate.cli import choice
from facegate.cli.choice import Choice, Wish, choose, cuda_trouble
from facegate.cli.options import Backend
from facegate.errors import EngineError
from facegate.packs.pack_file import PackFile
from facegate.packs.shipped import pack_named

L4, ORIN = Gpu("NVIDIA L4", "8.9"), Gpu("Orin", "8.7")
COMMAND = "facegate build --pack mobileface --target tensorrt-rtx --precision fp16"
NET = "minifasnet_v2"


@pytest.fixture
def machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rtx_repository: Path, repository: Path
) -> Callable[..., Path]:
    """A machine with these GPUs, and a copy of the engines that may be spoiled; returns where that is."""

    def made(*gpus: Gpu, native: bool = False, cuda: str | None = "no CUDA here", pycuda: bool = True) -> Path:
        def found() -> list[Gpu]:
            if not gpus:
                raise NoGpuError("no NVIDIA driver on this machine")
            return list(gpus)

        copies = tmp_path / "repository"
        if not copies.exists():
            shutil.copytree(rtx_repository, copies / rtx_repository.name)
        monkeypatch.setattr(choice, "REPOSITORIES", copies)
        monkeypatch.setattr(choice, "gpus", found)
        monkeypatch.setattr(choice, "find_triton", lambda: SimpleNamespace(native=native))
        monkeypatch.setattr(choice, "cuda_trouble", lambda graph: cuda)
        monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: (pycuda and name == "pycuda") or None)
        return copies / rtx_repository.name

    return made


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def pick(pack: PackFile, said: list[str]) -> Callable[..., Choice]:
    def picked(backend: Backend = Backend.auto, **changes: Any) -> Choice:
        wish = Wish(pack, pack.name, backend, None, None, True, False)
        return choose(replace(wish, **changes), said.append)

    return picked


def restamp(repository: Path, **changes: Any) -> None:
    """Another stamp beside an engine, as if it had been installed so."""
    engine = repository / NET / "1" / "model.rtx"
    stamp = read_stamp(engine)
    write_stamp(Stamp.model_validate({**stamp.model_dump(), **changes}), engine)
    reseal(repository)


def reseal(repository: Path) -> None:
    pack = pack_named("mobileface")
    seal(repository, {model: pack.files[net.file].licence for model, net in pack.nets.items()}, "a test")


def test_without_a_gpu_the_cpu_serves_and_the_reason_is_given(
    machine: Callable[..., Path], pick: Callable[..., Choice], said: list[str]
) -> None:
    machine()
    picked = pick()
    assert (picked.target, picked.provider, picked.why) == (
        Target.onnxruntime,
        "cpu",
        "no NVIDIA driver on this machine",
    )
    assert pick(Backend.onnxruntime).why == "asked for"
    assert [line for line in said if "up to date" not in line] == [
        "NOT USED: mobileface-tensorrt-rtx-fp16: no NVIDIA driver on this machine"
    ]


def test_engines_that_are_asked_for_without_a_gpu_are_an_error(
    machine: Callable[..., Path], pick: Callable[..., Choice]
) -> None:
    machine()
    with pytest.raises(EngineError, match=r"--backend tensorrt-rtx needs a GPU: no NVIDIA driver"):
        pick(Backend.tensorrt_rtx)


def test_engines_that_fit_are_what_a_gpu_runs(machine: Callable[..., Path], pick: Callable[..., Choice]) -> None:
    repository = machine(L4)
    for picked in (pick(), pick(Backend.tensorrt_rtx), pick(Backend.tensorrt_rtx, precision=Precision.fp16)):
        assert (picked.repository, picked.target, picked.provider) == (repository, Target.tensorrt_rtx, "cuda")


def test_engines_that_were_never_built_are_named_with_the_command_that_builds_them(
    machine: Callable[..., Path], pick: Callable[..., Choice]
) -> None:
    machine(L4)
    with pytest.raises(EngineError, match="mobileface-tensorrt-fp16 has not been built; run: ") as refusal:
        pick(Backend.tensorrt)
    assert str(refusal.value).endswith(COMMAND.replace("tensorrt-rtx", "tensorrt"))
    with pytest.raises(EngineError, match=r"--pack my/own\.toml --target"):
        pick(Backend.tensorrt, named="my/own.toml")
    with pytest.raises(EngineError, match="--precision fp32 --detector-size 320x320 --without-liveness"):
        pick(Backend.tensorrt_rtx, precision=Precision.fp32, size=(320, 320), liveness=False)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "1.0.0.1"}, "was built by TensorRT for RTX 1.0.0.1, and 1."),
        ({"gpu": ORIN.name, "compute_capability": "8.7"}, "was built for Orin (compute capability 8.7), and NVIDIA L4"),
        ({"served": "0" * 64}, "was built of another graph"),
        ({"engine": "0" * 64}, "is not the file that was stamped"),
        ({"precision": "fp32"}, "is another net's, or for another use"),
        ({"model": "face_detector"}, "is another net's, or for another use"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:30],
)
def test_an_engine_that_does_not_fit_is_refused_before_triton_sees_it(
    machine: Callable[..., Path],
    pick: Callable[..., Choice],
    said: list[str],
    changes: dict[str, Any],
    reason: str,
) -> None:
    restamp(machine(L4), **changes)
    with pytest.raises(EngineError) as refusal:
        pick(Backend.tensorrt_rtx)
    assert reason in str(refusal.value)
    assert NET in str(refusal.value)
    assert str(refusal.value).endswith(f"run: {COMMAND}")
    assert pick().target is Target.onnxruntime, "and auto goes on without them"
    assert any(line.startswith("NOT USED: ") and reason in line for line in said), "but not in silence"


def test_engines_of_a_pack_that_was_changed_since_are_refused(
    machine: Callable[..., Path], pick: Callable[..., Choice], pack: PackFile
) -> None:
    repository = machine(L4)
    for config in repository.glob("face_*/config.pbtxt"):
        text = config.read_text()
        config.write_text(re.sub(r'(digest\\":\\")..', r"\1zz", text))
    with pytest.raises(EngineError, match=f"the pack {pack.name} has changed since; run: "):
        pick(Backend.tensorrt_rtx)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("face_verify/config.pbtxt", '\\"min_real\\":0.5', '\\"min_real\\":0.0'),
        ("face_verify/1/model.py", "class", "raise SystemExit\nclass"),
        ("minifasnet_v2/config.pbtxt", "max_batch_size: 32", "max_batch_size: 33"),
        ("minifasnet_v2/1/model.onnx", None, ""),
        ("manifest.json", None, ""),
        ("face_analyze/config.pbtxt", None, "no configuration"),
        ("face_analyze/config.pbtxt", None, 'name: "without a pack"'),
    ],
)
def test_a_repository_that_was_changed_since_it_was_installed_is_refused(
    machine: Callable[..., Path], pick: Callable[..., Choice], said: list[str], file: str, old: str | None, new: str
) -> None:
    changed = machine(L4) / file
    if old is not None:
        assert old in changed.read_text()
    changed.write_text(changed.read_text().replace(old, new) if old else new)
    with pytest.raises(EngineError, match=r"(differs from its manifest|no configuration that can be read).*; run: "):
        pick(Backend.tensorrt_rtx)
    assert pick().target is Target.onnxruntime
    assert any(line.startswith("NOT USED: ") for line in said)


def test_engines_that_were_never_run_are_served_with_a_warning(
    machine: Callable[..., Path], pick: Callable[..., Choice], said: list[str]
) -> None:
    machine(L4)
    assert pick(Backend.tensorrt_rtx).target is Target.tensorrt_rtx
    assert sum("was NEVER RUN when it was verified" in line for line in said) == 5


def test_engines_that_were_verified_on_a_few_pictures_are_served_with_a_warning(
    machine: Callable[..., Path], pick: Callable[..., Choice], said: list[str]
) -> None:
    gate = read_stamp(machine(L4) / NET / "1" / "model.rtx").gate
    assert gate is not None
    restamp(machine(L4), gate={**gate, "pictures": 3, "of_engine": True})
    assert pick(Backend.tensorrt_rtx).target is Target.tensorrt_rtx
    assert [line for line in said if NET in line] == [
        f"mobileface-tensorrt-rtx-fp16: the engine of {NET} was verified on 3 pictures ONLY"
    ]


def test_engines_that_nobody_verified_are_served_with_a_warning(
    machine: Callable[..., Path], pick: Callable[..., Choice], said: list[str]
) -> None:
    restamp(machine(L4), gate=None)
    assert pick(Backend.tensorrt_rtx).target is Target.tensorrt_rtx
    assert any(f"{NET} was NEVER VERIFIED" in line for line in said)


def test_nvidias_own_triton_is_not_given_engines_of_tensorrt_for_rtx(
    machine: Callable[..., Path], pick: Callable[..., Choice]
) -> None:
    machine(L4, native=True)
    with pytest.raises(EngineError, match="takes TensorRT's engines, not TensorRT for RTX's"):
        pick(Backend.tensorrt_rtx)


def test_engines_without_what_runs_them_are_refused_with_where_it_is_described(
    machine: Callable[..., Path], pick: Callable[..., Choice]
) -> None:
    machine(L4, pycuda=False)
    with pytest.raises(EngineError, match=r"PyCUDA.*not installed.*docs/pycuda\.md"):
        pick(Backend.tensorrt_rtx)


def test_onnx_runtime_on_cuda_is_the_second_choice_on_a_gpu(
    machine: Callable[..., Path], pick: Callable[..., Choice]
) -> None:
    shutil.rmtree(machine(L4))
    machine(L4, cuda=None)
    picked = pick()
    assert (picked.target, picked.provider) == (Target.onnxruntime, "cuda")
    assert "--target tensorrt --precision fp16" in picked.why


def test_a_gpu_is_never_left_idle_in_silence(machine: Callable[..., Path], pick: Callable[..., Choice]) -> None:
    shutil.rmtree(machine(L4))
    machine(L4, cuda="the package onnxruntime here knows no CUDA")
    picked = pick()
    assert picked.provider == "cpu"
    assert picked.why.startswith("this machine has NVIDIA L4 (compute capability 8.9), BUT IT IS NOT USED: the package")


def test_nvidias_own_triton_has_tensorrt_for_the_gpu_and_onnx_runtime_for_the_cpu(
    machine: Callable[..., Path], pick: Callable[..., Choice]
) -> None:
    machine(L4, native=True, cuda=None)
    picked = pick(Backend.onnxruntime)
    assert picked.provider == "cpu"
    assert "BUT IT IS NOT USED: NVIDIA's Triton is given ONNX Runtime for the CPU" in picked.why


def test_the_cuda_provider_that_this_onnx_runtime_does_not_have_is_the_reason_given(repository: Path) -> None:
    trouble = cuda_trouble(repository / NET / "1" / "model.onnx")
    assert trouble is not None
    assert "CUDA" in trouble
