"""build_engines.py from a pack to a repository of engines, by TensorRT for RTX, whose builder needs no GPU."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import Result
from typer.testing import CliRunner

import facegate.build.build
import facegate.build.checks.gate
import facegate.build.compiled
import facegate.build.judging
from facegate.build.checks.gate import LIMITS, P_REAL
from facegate.build.checks.known_answers import load_known_answers
from facegate.build.compiled import build_engines
from facegate.build.device import Gpu
from facegate.build.order import Engines, Order
from facegate.build.paths import REPOSITORIES
from facegate.build.profile import profile
from facegate.build.repository.stamp import read_stamp, sha256
from facegate.build.target import Precision, Target
from facegate.cli.app import app
from facegate.errors import EngineError, UnfitError
from facegate.packs.pack_file import PackFile
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from support import own_packs
from support.serving import ROOT

NETS = ["face_detector", "face_detector_256x256", "face_recognizer", "minifasnet_v2", "minifasnet_v1se"]
COMMAND = [sys.executable, "build_engines.py", "--pack", "mobileface", "--target", "tensorrt-rtx"]
Build = Callable[..., Engines]


def command(*options: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *options], cwd=ROOT, capture_output=True, text=True, check=False, **more)


def refused(*options: str) -> str:
    """The one line that the command ends with, which here is run in this process: it is quicker."""
    result: Result = CliRunner().invoke(app, ["build", *COMMAND[2:], *options])
    assert (result.exit_code, result.stdout) == (1, "")
    assert isinstance(result.exception, SystemExit), "anything else would be a traceback"
    *_, last = result.stderr.strip().splitlines()
    assert last.startswith("facegate: ")
    return last


def files(folder: Path) -> dict[str, int]:
    """When each file below was written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("precision", "some", "count"),
    [(Precision.fp32, "liveness", 9), (Precision.fp16, "", 49)],
    ids=[each.value for each in Precision],
)
def test_four_engines_are_built_stamped_and_judged_on_the_labelled_pictures(
    pack: PackFile, repository: Path, pictures: Path, precision: Precision, some: str, count: int
) -> None:
    """NVIDIA's parser and builder take every net in every precision; verdicts over all pairs, faces and liveness
    pictures are those of fp32. Built in fp32 the graphs are the very ones, and a few of the pictures will do."""
    options = ["--precision", precision.value, "--pictures", str(pictures / some)]
    made = command(*options)
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == f"build/repository/mobileface-tensorrt-rtx-{precision.value}"
    built = ROOT / made.stdout.strip()
    assert f'\\"precision\\":\\"{precision.value}\\"' in (built / "face_verify" / "config.pbtxt").read_text()
    for net in NETS:
        folder = built / net / "1"
        assert not (folder / "model.plan").exists(), "Triton would take it for TensorRT's"
        stamp = read_stamp(folder / "model.rtx")
        assert stamp.source == pack.files[pack.nets[net].file].sha256
        assert stamp.served == sha256((repository / net / "1" / "model.onnx").read_bytes())
        assert stamp.graph == sha256((folder / "model.onnx").read_bytes())
        assert stamp.graph == stamp.served or precision is not Precision.fp32
        assert stamp.size == (folder / "model.rtx").stat().st_size
        assert (stamp.pack, stamp.precision, stamp.target) == ("mobileface", precision, Target.tensorrt_rtx)
        assert stamp.profile == {"min": 1, "opt": profile(pack.nets[net]).opt, "max": pack.nets[net].max_batch}
        assert stamp.gate is not None
        assert stamp.gate["difference"] <= stamp.gate["limit"] == LIMITS[stamp.gate["unit"]]
        assert (stamp.gate["pictures"], stamp.gate["flips"]) == (count, 0)
        if count > 9:
            assert stamp.gate["faces"] > 100
            assert stamp.gate["pairs"] > 1000
        assert net in made.stderr
        assert f"TensorRT for RTX {stamp.version}" in made.stderr
    known = load_known_answers(built)[0]
    assert known.limits["ANTISPOOF_SCORE"] == LIMITS[P_REAL]
    in_fp32 = load_known_answers(repository)[0]
    assert np.array_equal(known.outputs["EMBEDDINGS"], in_fp32.outputs["EMBEDDINGS"]), "never the engine's own"
    assert count == 9 or "NOT JUDGED" not in made.stderr, "all the pictures have every verdict"

    before = files(built)
    again = command(*options)
    assert again.returncode == 0
    assert "up to date" in again.stderr
    assert again.stderr.count(" before ") == len(NETS)
    assert files(built) == before, "a second run writes nothing"


@pytest.fixture(scope="module")
def ready(pack: PackFile, weights: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What builds leave, in a folder of its own: engines in fp16, judged on the three sample pictures."""
    folder = tmp_path_factory.mktemp("ready")
    with pytest.MonkeyPatch.context() as patched:
        made = builder(patched, folder, pack)()
    assert made.fresh == set(NETS)
    return folder


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pack: PackFile, ready: Path) -> Build:
    """Builds in a copy of that folder."""
    return builder(monkeypatch, Path(shutil.copytree(ready, tmp_path / "build")), pack)


def builder(monkeypatch: pytest.MonkeyPatch, folder: Path, pack: PackFile) -> Build:
    """Builds in this folder."""
    monkeypatch.delenv("FACEGATE_MIRROR", raising=False)  # three sample pictures are enough here
    for module in (facegate.build.build, facegate.build.compiled):
        monkeypatch.setattr(module, "REPOSITORIES", folder / "repository")
    monkeypatch.setattr(facegate.build.build, "RESIZED", folder / "resized")
    monkeypatch.setattr(facegate.build.compiled, "ENGINES", folder / "engines")

    def built(progress: Any = lambda *told: None, say: Any = lambda text: None, **changes: Any) -> Engines:
        order = replace(Order(pack, Target.tensorrt_rtx, Precision.fp16), **changes)
        return build_engines(order, accept_license=False, say=say, progress=progress)

    return built


def changed(pack: PackFile, **tables: Mapping[str, Any]) -> PackFile:
    """The pack with these fields of these tables."""
    values = own_packs.values_of(pack.name)
    for table, fields in tables.items():
        values[table] |= fields
    return PackFile.model_validate(values)


def test_only_what_has_changed_is_built_again(build: Build, pack: PackFile) -> None:
    assert build().fresh == set()
    assert build(verify=False).fresh == set(), "an engine is the same, judged or not"

    stricter = build(verify=False, pack=changed(pack, liveness={"min_real": 0.6}, recognizer={"threshold": 0.5}))
    assert stricter.fresh == set(), "a threshold is in no engine"
    assert stricter.repository is not None
    assert "0.6" in (stricter.repository / "face_verify" / "config.pbtxt").read_text(), "but it is in the repository"

    kept = onnx.load(stricter.repository / "face_recognizer" / "1" / "model.onnx").graph.node
    convolution = next(node.name for node in kept if node.op_type == "Conv")
    other = build(verify=False, pack=changed(pack, recognizer={"keep_fp32": {"fp16": [convolution]}}))
    assert other.fresh == {"face_recognizer"}

    smaller = build(verify=False, size=(320, 320))
    assert smaller.fresh == {"face_detector"}
    assert smaller.repository is not None
    assert smaller.repository.name == "mobileface-tensorrt-rtx-fp16-320x320"
    assert build(verify=False, force=True).fresh == set(NETS)


def test_a_larger_batch_is_the_engines_and_tritons(build: Build) -> None:
    made = build(verify=False, max_batch=64)
    assert made.repository is not None
    for stamp in made.stamps:
        most = 16 if stamp.model.startswith("face_detector") else 64
        assert stamp.profile["max"] == most
        assert f"max_batch_size: {most}\n" in (made.repository / stamp.model / "config.pbtxt").read_text()


def test_nets_can_be_built_one_by_one(build: Build) -> None:
    """In fp32; those in fp16 are there, and are not taken for them."""
    said: list[str] = []
    first = build(verify=False, precision=Precision.fp32, models=("face_detector",), say=said.append)
    assert first.fresh == {"face_detector"}
    assert first.repository is None
    assert any("face_recognizer, minifasnet_v2, minifasnet_v1se not built yet" in line for line in said)
    rest = build(verify=False, precision=Precision.fp32)
    assert rest.fresh == set(NETS) - {"face_detector"}
    assert rest.repository is not None
    with pytest.raises(EngineError, match="--model nose: no such net; there are face_detector, "):
        build(models=("nose",))


def test_nets_that_are_left_out_are_not_built(build: Build) -> None:
    made = build(verify=False, liveness=False)
    assert [stamp.model for stamp in made.stamps] == NETS[:3]
    assert made.repository is not None
    assert made.repository.name == "mobileface-tensorrt-rtx-fp16-without-liveness"


def test_a_net_that_fails_its_gate_is_not_installed_and_its_layers_are_named(
    build: Build, pack: PackFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = changed(pack, recognizer={"keep_fp32": {"fp16": ["/conv3/Conv"]}})
    before = build(verify=False, pack=others).repository
    assert before is not None
    installed = files(before)
    strict = {**LIMITS, "1 - cosine": 1e-9}
    monkeypatch.setattr(facegate.build.checks.gate, "LIMITS", strict)
    said: list[str] = []
    with pytest.raises(EngineError, match=r"^face_recognizer: not fit for fp16; nothing was installed$"):
        build(say=said.append)
    assert files(before) == installed
    assert any(line.startswith("face_recognizer: 1 - cosine differs by ") for line in said)
    (layers,) = [line for line in said if "the layers that cost most" in line]
    (advice,) = [line.split(", try: ")[1] for line in said if ", try: keep_fp32.fp16 = [" in line]
    graph = onnx.load(before / "face_recognizer" / "1" / "model.onnx").graph
    named = [node.name for node in graph.node if f'"{node.name}"' in advice]
    assert len(named) == 2
    assert all(name in layers for name in named)
    unverified = build(verify=False)
    assert [stamp.gate for stamp in unverified.stamps] == [None] * len(NETS), (
        "unless the user says so, and then it is on record"
    )


def test_engines_that_are_found_unfit_are_not_left_to_be_served(
    build: Build, samples: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On other pictures than those that they were installed by."""
    repository = build().repository
    assert repository is not None
    strict = {**LIMITS, "1 - cosine": 1e-9}
    monkeypatch.setattr(facegate.build.checks.gate, "LIMITS", strict)
    monkeypatch.setattr(
        facegate.build.judging, "sensitivity", lambda *arguments: []
    )  # takes its time, and is shown above
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "live.jpg").symlink_to(samples["image_T1.jpg"])
    said: list[str] = []
    with pytest.raises(EngineError, match="not fit for fp16"):
        build(pictures=tmp_path / "others", say=said.append)
    assert not repository.exists()
    assert f"{repository.name} had the same engine of face_recognizer, and was removed" in said


def test_another_size_is_tried_where_one_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refused(order: Order, **more: object) -> Engines:
        tried.append(order.size)
        raise UnfitError(f"{order.size}: not fit", frozenset())

    monkeypatch.setattr(facegate.build.compiled, "build_engines", refused)
    result = CliRunner().invoke(app, ["build", "--detector-size", "320x320,480x640"])
    assert result.exit_code == 1
    assert tried == [(320, 320), (480, 640)]
    assert result.stderr.count("not fit") == 2


def test_engines_of_tensorrt_are_in_fp16_unless_another_precision_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def noted(order: Order, **more: object) -> Engines:
        asked.append(order.precision)
        return Engines((), frozenset(), None)

    monkeypatch.setattr(facegate.build.compiled, "build_engines", noted)
    for options, environment in (
        (["--target", "tensorrt-rtx"], {}),
        (["--target", "onnxruntime"], {}),
        (["--target", "tensorrt-rtx"], {"FACEGATE_PRECISION": "fp32"}),
    ):
        assert CliRunner().invoke(app, ["build", *options], env=environment).exit_code == 0
    assert asked == [Precision.fp16, Precision.fp32, Precision.fp32]


def test_an_interruption_leaves_the_old_engines_in_their_place(build: Build) -> None:
    repository = build().repository
    assert repository is not None
    before, told = files(repository), []

    def interrupt(model: str, phase: str, done: int, steps: int) -> None:
        if not told:
            os.kill(os.getpid(), signal.SIGINT)
        told.append(model)

    with pytest.raises(KeyboardInterrupt):
        build(progress=interrupt, force=True)
    assert set(told) == {"face_detector"}, "the others were not begun"
    assert files(repository) == before
    assert not list(repository.parent.glob(".new-*"))
    assert build().fresh <= {"face_detector"}


def test_what_failed_between_two_renames_is_undone(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "old").touch()
    with pytest.raises(FileNotFoundError), facegate.build.build.scratch_beside(repository) as scratch:
        facegate.build.build.put_in_place(scratch / "never made", repository, scratch)
    assert (repository / "old").exists()


def test_what_a_build_that_was_killed_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".new-left" / "half").mkdir(parents=True)
    with facegate.build.build.scratch_beside(tmp_path / "repository") as scratch:
        assert [path.name for path in tmp_path.iterdir()] == [scratch.name]


def test_engines_that_were_judged_without_a_gpu_are_judged_again_with_one(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build()
    assert {stamp.gate["of_engine"] for stamp in first.stamps if stamp.gate} == {False}
    asked = []

    def pretended(*arguments: object) -> OnnxInferer:
        asked.append(arguments)
        return OnnxInferer(*arguments)

    monkeypatch.setattr(facegate.build.judging, "gpus", lambda: [Gpu("NVIDIA L4", "8.9")])
    monkeypatch.setattr(facegate.build.judging, "TensorRtInferer", pretended)
    second = build()
    assert not second.fresh
    assert asked
    for stamp in second.stamps:
        assert stamp.gate is not None
        assert stamp.gate["run_by"] == "TensorRT for RTX on NVIDIA L4"
        assert stamp.gate["of_engine"]


def test_ctrl_c_is_one_line(rtx_repository: Path) -> None:
    before = files(rtx_repository)
    process = subprocess.Popen(
        [*COMMAND, "--precision", "fp16", "--force"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    assert "mobileface-onnxruntime-fp32: up to date" in first
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert rest.strip().splitlines()[-1] == "facegate: interrupted"
    assert "Traceback" not in rest
    assert files(rtx_repository) == before


def test_a_full_disk_is_one_line_and_leaves_the_old_engines(rtx_repository: Path) -> None:
    before = files(rtx_repository)
    small = 1 << 20

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (small, small))

    failed = command("--precision", "fp16", "--force", preexec_fn=limit)
    assert failed.returncode == 1
    assert failed.stderr.strip().splitlines()[-1].startswith("facegate: [Errno 27] File too large")
    assert "Traceback" not in failed.stderr
    assert files(rtx_repository) == before
    assert not list(REPOSITORIES.glob(".new-*"))
    assert command("--precision", "fp16").returncode == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--detector-size", "333x500"], "--detector-size 333x500: height and width must be multiples of 32"),
        (["--detector-size", "640"], "--detector-size 640: wanted is height x width"),
        (["--detector-size", "8192x8192"], "--detector-size 8192x8192: Input should be less than or equal to 4096"),
        (["--pack", "nothing"], "no pack 'nothing'; there are buffalo_l, "),
        (["--model", "nose"], "--model nose: no such net"),
        (["--layers", "--force"], "no report by layer, since engines cannot be loaded here: no NVIDIA driver"),
        (["--target", "onnxruntime", "--max-batch", "64"], "--max-batch is not for ONNX Runtime in fp32"),
        (["--target", "onnxruntime", "--model", "face_detector"], "--model is not for ONNX Runtime in fp32"),
        (["--hardware-compatible"], "--hardware-compatible is not for TensorRT for RTX"),
        (["--target", "tensorrt"], "the Python package tensorrt "),
        (["--pack", "buffalo_l"], "is not for commercial use"),
        (["--pictures", "facegate/build"], "facegate/build: no pictures there"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_built_is_one_clear_line(repository: Path, options: list[str], reason: str) -> None:
    assert reason in refused(*options)


@pytest.mark.parametrize("spoil", ["missing", "corrupt", "another hash"])
def test_weights_that_cannot_be_used_are_named_in_one_line(
    weights: dict[str, Path], tmp_path: Path, spoil: str
) -> None:
    values = own_packs.values_of("mobileface") | {"name": "spoiled"}
    path = tmp_path / "MobileFaceNet.onnx"
    path.write_bytes(weights[path.name].read_bytes()[:-1000])
    values["files"][path.name] = own_packs.local(path)
    if spoil == "missing":
        path.unlink()
    elif spoil == "another hash":
        path.write_bytes(weights[path.name].read_bytes())
    said = refused("--pack", str(own_packs.write(values, tmp_path / "spoiled.toml")))
    assert "MobileFaceNet.onnx" in said
    assert {"missing": "there is no file", "corrupt": "not a usable ONNX graph", "another hash": "SHA-256"}[
        spoil
    ] in said
