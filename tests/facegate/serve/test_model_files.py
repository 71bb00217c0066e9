"""The files of the models: what a server loads is what was built, at every start, and its answers are checked."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from facegate.build.repository.manifest import MANIFEST
from facegate.cli.running import free_ports
from support import serving
from support.changed_models import liveness_graph, say_live, sealed
from support.impatient import serving_impatiently
from support.serving import ROOT, Server, wait_for_line
from support.wire import encoded, infer

LIVENESS = ("minifasnet_v2", "minifasnet_v1se")


@pytest.fixture
def copied(repository: Path, tmp_path: Path) -> Path:
    """A repository that a test may change."""
    return Path(shutil.copytree(repository, tmp_path / "repository"))


@pytest.fixture(scope="module")
def overwritten(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a repository whose liveness models were overwritten in place after the start."""
    folder = tmp_path_factory.mktemp("overwritten")
    copied = Path(shutil.copytree(repository, folder / "repository"))
    with serving_impatiently(folder / "log", copied, "onnxruntime") as running:
        for model in LIVENESS:
            say_live(liveness_graph(copied, model))
        yield running


def tritonserver(server: Server) -> psutil.Process:
    children = psutil.Process(server.process.pid).children()
    return next(child for child in children if child.name() == "tritonserver")


def ended(repository: Path, runner: str = "onnxruntime", before: str = "") -> tuple[int, list[str]]:
    """The exit status and the lines of a server that does not stay up. `before` is run in its process first."""
    script = ROOT / "tests" / "support" / "serve_impatiently.py"
    program = f"{before}\nimport runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    command = [sys.executable, "-c", program, str(repository), runner, *map(str, free_ports(3))]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return run.returncode, [line for line in run.stderr.splitlines() if line.startswith("facegate: ")]


def test_a_model_that_is_overwritten_in_place_is_not_loaded_by_a_restart(
    overwritten: Server, samples: dict[str, Path]
) -> None:
    spoof = [encoded("IMAGE", samples["image_F2.jpg"])]
    tritonserver(overwritten).kill()
    wait_for_line(overwritten.process, overwritten.log, "facegate: ready:", count=2)
    answer = infer("grpc", overwritten.grpc, "face_analyze", spoof, anti_spoofing=True).outputs
    assert not answer["IS_REAL"][0]
    assert answer["ANTISPOOF_SCORE"][0] < 0.1


def test_a_damaged_file_of_the_servers_own_copy_stops_the_restart(overwritten: Server) -> None:
    """The last test of this server: it stops."""
    triton = tritonserver(overwritten)
    (option,) = [word for word in triton.cmdline() if word.startswith("--model-repository=")]
    damaged = liveness_graph(Path(option.split("=", 1)[1]), "minifasnet_v2")
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    triton.kill()
    assert overwritten.process.wait(20) == 1
    last = overwritten.log.read_text().strip().splitlines()[-1]
    assert f"minifasnet_v2/1/{damaged.name}" in last
    assert "facegate build" in last


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "face_recognizer/1/model.onnx"),
        (lambda path: path.unlink(), "face_recognizer/1/model.onnx"),
        (lambda path: (path.parents[2] / MANIFEST).unlink(), MANIFEST),
        (lambda path: (path.parents[2] / MANIFEST).write_text("{}"), MANIFEST),
    ],
    ids=["a file is shorter", "a file is missing", "no manifest", "an empty manifest"],
)
def test_a_damaged_repository_is_not_served(copied: Path, change, named: str) -> None:
    change(copied / "face_recognizer" / "1" / "model.onnx")
    status, said = ended(copied)
    assert status == 1
    assert named in said[-1]
    assert "facegate build" in said[-1]


def test_a_file_that_is_not_in_the_manifest_is_not_loaded(repository: Path, copied: Path, tmp_path: Path) -> None:
    """Triton serves the highest version of a model."""
    shutil.copytree(copied / "minifasnet_v2" / "1", copied / "minifasnet_v2" / "2")
    say_live(liveness_graph(copied, "minifasnet_v2").parents[1] / "2" / "model.onnx")
    with serving.serving_repository(tmp_path / "log", copied) as running:
        folder = next(word for word in tritonserver(running).cmdline() if "--model-repository=" in word)
        assert not (Path(folder.split("=", 1)[1]) / "minifasnet_v2" / "2").exists()


@pytest.mark.parametrize("runner", ["onnxruntime", "bls"])
def test_wrong_answers_restart_the_server_once_and_then_stop_it(copied: Path, runner: str) -> None:
    """The liveness models were exchanged, and the manifest with them."""
    for model in LIVENESS:
        say_live(liveness_graph(copied, model))
    sealed(copied)
    status, said = ended(copied, runner)
    assert status == 1
    assert sum("starting Triton anew" in line for line in said) == 1
    assert not any("ready" in line for line in said)
    assert "ANTISPOOF_SCORE" in said[-1]
    assert "liveness" in said[-1]


def test_a_server_whose_answers_become_wrong_is_restarted_once_and_then_stopped(repository: Path) -> None:
    """As on a GPU that begins to fail: every third time the canary finds a wrong answer."""
    every_third = """
from facegate.serve.canary import Canary, WrongAnswerError
ask, asked = Canary.ask, []
def find_a_wrong_answer(canary):
    ask(canary)
    asked.append(canary)
    if len(asked) % 3 == 0:
        raise WrongAnswerError("wrong answer of face_recognizer")
Canary.ask = find_a_wrong_answer
"""
    status, said = ended(repository, before=every_third)
    assert status == 1
    assert sum(line.startswith("facegate: ready:") for line in said) == 2
    assert sum("starting Triton anew" in line for line in said) == 1
    assert "wrong answer of face_recognizer" in said[-1]
    assert "facegate build" in said[-1]
