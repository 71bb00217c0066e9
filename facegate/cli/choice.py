"""What runs the nets on this machine, and the repository that has them for it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from facegate.build.build import Built, Say, build_served, repository_name
from facegate.build.device import Gpu, NoGpuError, gpus
from facegate.build.paths import REPOSITORIES
from facegate.build.repository.assemble import packed
from facegate.build.repository.manifest import MANIFEST
from facegate.build.repository.stamp import Stamp, read_stamp, sha256
from facegate.build.runtime import runtime
from facegate.build.seal import is_whole
from facegate.build.target import Precision, Size, Target
from facegate.cli.options import Backend
from facegate.errors import EngineError
from facegate.packs.pack_file import PackFile
from facegate.serve.installation import find_triton
from facegate_ensemble.pack import RECOGNIZER

ENOUGH = 10
"""Pictures on which engines have to be verified to be served without a warning."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A repository, the target it was built for, what runs it ("cpu" or "cuda"), why, the command that builds it, and
    whether its engines are version compatible ones."""

    repository: Path
    target: Target
    provider: str
    why: str
    build_command: str
    version_compatible: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user asks to be served; `named` is what the pack was called. `precision` None: fp16 of TensorRT's, fp32
    of ONNX Runtime's."""

    pack: PackFile
    named: str
    backend: Backend
    precision: Precision | None
    size: Size | None
    liveness: bool
    accept_license: bool

    def name(self, target: Target, precision: Precision) -> str:
        """What the repository is called."""
        return repository_name(self.pack, target.value, precision.value, size=self.size, liveness=self.liveness)

    def command(self, target: Target, precision: Precision) -> str:
        """What builds it."""
        size = f" --detector-size {self.size[0]}x{self.size[1]}" if self.size else ""
        liveness = "" if self.liveness else " --without-liveness"
        consent = "" if self.pack.commercial_use else " --accept-license"
        return (
            f"facegate build --pack {self.named} --target {target.value} "
            f"--precision {precision.value}{size}{liveness}{consent}"
        )


def choose(wish: Wish, say: Say) -> Choice:
    """What to serve here. Never the CPU in place of a GPU without a word.

    Raises EngineError where what was asked for is not built, or does not fit this machine or the pack, and what
    building the fp32 graphs raises.
    """
    served = build_served(
        wish.pack, size=wish.size, liveness=wish.liveness, accept_license=wish.accept_license, say=say
    )
    if wish.backend in (Backend.tensorrt, Backend.tensorrt_rtx):
        target = Target(wish.backend.value)
        precision = wish.precision or Precision.fp16
        return _engines(wish, served, target, precision, _gpus_for(target), "asked for", say)
    try:
        there = gpus()
    except NoGpuError as error:
        for target, precision in _built(wish) if wish.backend is Backend.auto else ():
            say(f"NOT USED: {wish.name(target, precision)}: {error}")
        return _onnx(wish, served, "cpu", "asked for" if wish.backend is Backend.onnxruntime else str(error), say)
    if wish.backend is Backend.auto:
        for target, precision in _built(wish):
            try:
                return _engines(wish, served, target, precision, there, f"this machine has {there[0]}", say)
            except EngineError as error:
                say(f"NOT USED: {error}")
    if find_triton().native:
        trouble: str | None = "NVIDIA's Triton is given ONNX Runtime for the CPU, and TensorRT for the GPU"
    else:
        trouble = cuda_trouble(served.repository / RECOGNIZER / "1" / "model.onnx")
    advice = wish.command(Target.tensorrt, wish.precision or Precision.fp16)
    if trouble is None:
        return _onnx(wish, served, "cuda", f"this machine has {there[0]}; for TensorRT's engines: {advice}", say)
    return _onnx(wish, served, "cpu", f"this machine has {there[0]}, BUT IT IS NOT USED: {trouble}; run: {advice}", say)


def _gpus_for(target: Target) -> list[Gpu]:
    try:
        return gpus()
    except NoGpuError as error:
        raise EngineError(f"--backend {target.value} needs a GPU: {error}") from None


def _built(wish: Wish) -> Iterator[tuple[Target, Precision]]:
    """The engines that are there, the likeliest to be wanted first."""
    for target in (Target.tensorrt, Target.tensorrt_rtx):
        for precision in [wish.precision] if wish.precision else [Precision.fp16, Precision.fp32]:
            if (REPOSITORIES / wish.name(target, precision)).is_dir():
                yield target, precision


def _onnx(wish: Wish, served: Built, provider: str, why: str, say: Say) -> Choice:
    precision, repository = wish.precision or Precision.fp32, served.repository
    if precision is not Precision.fp32:
        repository, _ = installed(wish, served, Target.onnxruntime, precision, say)
    return Choice(repository, Target.onnxruntime, provider, why, wish.command(Target.onnxruntime, precision))


def _engines(
    wish: Wish, served: Built, target: Target, precision: Precision, there: list[Gpu], why: str, say: Say
) -> Choice:
    repository, stamps = installed(wish, served, target, precision, say)
    native = find_triton().native
    if native and target is Target.tensorrt_rtx:
        raise EngineError(
            "NVIDIA's own Triton takes TensorRT's engines, not TensorRT for RTX's: use --backend tensorrt"
        )
    if not native and importlib.util.find_spec("pycuda") is None:
        raise EngineError(f"{target.label}'s engines are run with PyCUDA here, which is not installed: docs/pycuda.md")
    version = None if native and importlib.util.find_spec("tensorrt") is None else runtime(target).version
    if version is None:
        say("TensorRT's Python package is not here: whether its version is the engines' shows when they are loaded")
    for stamp in stamps:
        if misfit := stamp.misfit(version, there):
            command = wish.command(target, precision)
            raise EngineError(f"{repository.name}: the engine of {stamp.model} {misfit}; run: {command}")
    compatible = any(stamp.options.get("version_compatible") for stamp in stamps)
    return Choice(repository, target, "cuda", why, wish.command(target, precision), compatible)


def installed(wish: Wish, served: Built, target: Target, precision: Precision, say: Say) -> tuple[Path, list[Stamp]]:
    """The repository that has been built of this pack as it is now, and its stamps. Raises EngineError where there is
    none, naming the command that builds it."""
    repository = REPOSITORIES / wish.name(target, precision)
    run = f"run: {wish.command(target, precision)}"
    if not repository.is_dir():
        raise EngineError(f"{repository.name} has not been built; {run}")
    stamps = []
    for model in served.pack.nets:
        if not (served.repository / model).is_dir():
            continue
        try:
            stamp = read_stamp(repository / model / "1" / target.file)
        except EngineError as error:
            raise EngineError(f"{repository.name}: {error}; {run}") from None
        if stamp.served != sha256((served.repository / model / "1" / "model.onnx").read_bytes()):
            raise EngineError(f"{repository.name}: the engine of {model} was built of another graph; {run}")
        if (stamp.model, stamp.target, stamp.precision) != (model, target, precision):
            raise EngineError(f"{repository.name}: the engine of {model} is another net's, or for another use; {run}")
        _warn(repository, stamp, say)
        stamps.append(stamp)
    try:
        digest = packed(repository).digest
    except EngineError as error:
        raise EngineError(f"{error}; {run}") from None
    if digest != served.pack.digest:
        raise EngineError(f"{repository.name}: the pack {served.pack.name} has changed since; {run}")
    if not is_whole(repository, served.licences):
        raise EngineError(
            f"{repository.name} differs from its {MANIFEST}, or was built by another version of this project; {run}"
        )
    return repository, stamps


def _warn(repository: Path, stamp: Stamp, say: Say) -> None:
    engine = f"{repository.name}: the engine of {stamp.model} was"
    if stamp.gate is None:
        say(f"{engine} NEVER VERIFIED against fp32 (--no-verify)")
        return
    if stamp.gate["pictures"] < ENOUGH:
        say(f"{engine} verified on {stamp.gate['pictures']} pictures ONLY")
    if stamp.target is not Target.onnxruntime and not stamp.gate["of_engine"]:
        say(
            f"{engine} NEVER RUN when it was verified, only the graph that it was built of; "
            "`facegate build` on this machine verifies the engine"
        )


SECONDS = 120

_TRY = """
import sys
from pathlib import Path
from facegate_ensemble.runtime.inference_error import NetFault
from facegate_ensemble.runtime.onnx.session import OnnxSession
try:
    OnnxSession(Path(sys.argv[1]), 1, "cuda")
except NetFault as fault:
    sys.exit(str(fault))
"""


def cuda_trouble(graph: Path) -> str | None:
    """Why ONNX Runtime does not run the served graph in a file on CUDA, or None where it does.

    Tried in a process of its own, which gives the GPU's memory back.
    """
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "the package onnxruntime here knows no CUDA; onnxruntime-gpu does"
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _TRY, str(graph)], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"ONNX Runtime did not open a net on CUDA within {SECONDS} s"
    if tried.returncode == 0:
        return None
    return next(reversed(tried.stderr.strip().splitlines()), f"it ended with {tried.returncode}")
