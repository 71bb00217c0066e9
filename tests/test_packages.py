"""What somebody has who installs the packages, or imports them in an editor."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

import facegate_client
from facegate.cli import app as cli
from facegate_client.cli import app as client_cli
from support.serving import ROOT

PACKAGES = ("facegate", "facegate-client", "facegate-ensemble")


def modules_after(statement: str) -> set[str]:
    """The top-level modules that are loaded in a new process after `statement`."""
    program = (
        f"import json, sys\n{statement}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    )
    return set(json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout))


@pytest.mark.parametrize("module", ["facegate_client", "facegate_client.contract"])
def test_the_contract_needs_the_standard_library_only(module: str) -> None:
    new = modules_after(f"import {module}") - modules_after("import enum, importlib, dataclasses, typing")
    assert new - sys.stdlib_module_names == {"facegate_client"}


def test_every_public_name_of_the_client_can_be_imported() -> None:
    program = "from facegate_client import *\nimport facegate_client\nprint(set(facegate_client.__all__) <= set(dir()))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "True\n"
    with pytest.raises(AttributeError, match="NoSuchName"):
        facegate_client.NoSuchName  # noqa: B018


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_has_the_version_and_the_licence(name: str) -> None:
    found = metadata.metadata(name)
    assert found["Version"] == facegate_client.__version__
    assert found["License-Expression"] == "Apache-2.0"


@pytest.mark.parametrize(("app", "program"), [(cli.app, "facegate"), (client_cli.app, "faceclient")])
def test_version(app: object, program: str) -> None:
    result = CliRunner().invoke(app, ["--version"])  # type: ignore[arg-type]
    assert (result.exit_code, result.stdout) == (0, f"{program} {facegate_client.__version__}\n")


def test_the_old_camera_command_names_the_new_one() -> None:
    result = CliRunner().invoke(client_cli.app, ["camera", "rtsp://door/stream", "--anti-spoofing"])
    assert result.exit_code == 2
    assert "facegate camera" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("psutil", ["serve"], "serve"),
        ("onnx", ["build"], "build"),
        ("httpx", ["packs"], "build"),
        ("httpx", ["fetch"], "build"),
        ("starlette", ["gateway"], "gateway"),
        ("psycopg", ["gallery", "export", "people.jsonl"], "gateway"),
        ("psycopg", ["gallery", "import", __file__], "gateway"),
        ("av", ["camera", "film.mp4"], "camera"),
    ],
)
def test_a_command_without_its_packages_names_the_extra(missing: str, arguments: list[str], extra: str) -> None:
    program = f"import sys\nsys.modules[{missing!r}] = None\nfrom facegate.cli.app import app\napp({arguments!r})"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode in (1, 2)
    (line,) = ended.stderr.splitlines()
    assert f"facegate[{extra}]" in line


@pytest.mark.parametrize("missing", ["psutil", "onnx", "httpx", "starlette", "av", "cv2", "onnxruntime"])
def test_help_needs_no_extra(missing: str) -> None:
    program = f"import sys\nsys.modules[{missing!r}] = None\nfrom facegate.cli.app import app\napp(['--help'])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_mypy_sees_the_types_of_the_installed_packages(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(
        "from facegate_client import FaceClient\n"
        'with FaceClient("localhost:8001") as client:\n'
        '    reveal_type(client.verify("a.jpg", "b.jpg").is_real_1)\n'
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "user.py"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert re.search(r'Revealed type is "(builtins\.)?bool \| None"', checked.stdout), checked.stdout
    assert "error:" not in checked.stdout


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE"])
def test_every_package_has_the_same_licence_and_notices(name: str) -> None:
    """Copies: an sdist would have a link that leads out of it."""
    assert len({(ROOT / folder / name).read_bytes() for folder in ("", "client", "ensemble")}) == 1


def test_no_folder_of_tests_is_left_out(pytestconfig: pytest.Config) -> None:
    """pytest's defaults pass over every folder with a name such as build."""
    folders = {part for path in (ROOT / "tests").rglob("test_*.py") for part in path.relative_to(ROOT).parts[:-1]}
    assert not [name for name in folders for each in pytestconfig.getini("norecursedirs") if fnmatch(name, each)]
