"""`make gpu-proof` in the container, as docs/container.md gives it: the image, and two folders of the checkout."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys

import pytest

from support.serving import ROOT

PAGE = (ROOT / "docs" / "container.md").read_text(encoding="utf-8")
WORKDIR = "/opt/facegate"


@pytest.fixture(scope="module")
def words():
    """The words of the command."""
    (line,) = re.findall(r"^    (docker compose run .*benchmarks\.gpu\.proof.*)$", PAGE, re.MULTILINE)
    return shlex.split(line)


@pytest.fixture(scope="module")
def mounted(words):
    """The folders of the checkout that it mounts, each where it is in the container."""
    volumes = [words[number + 1] for number, word in enumerate(words) if word == "--volume"]
    return dict(volume.removeprefix("$PWD/").split(":") for volume in volumes)


def test_results_and_pages_reach_the_checkout(mounted):
    assert mounted == {name: f"{WORKDIR}/{name}" for name in ("benchmarks", "docs")}


def test_it_runs_where_a_server_has_room(words, services):
    service = services[next(word for word in words if word in services)]
    assert service["shm_size"] == "4gb"
    assert service["deploy"]


def test_the_image_has_the_rest(words, mounted, tmp_path):
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    assert f"WORKDIR {WORKDIR}" in text
    parts = [*re.findall(r"^COPY (\w+) \1$", text, re.MULTILINE), *mounted]
    for part in parts:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    modules = [path.stem for path in sorted((tmp_path / "benchmarks" / "gpu").glob("[a-z]*.py"))]
    roots = [str(tmp_path / each) for each in ("", "client", "ensemble")]
    program = (
        f"import sys; sys.path[:0] = {roots!r}\n"
        f"from benchmarks.gpu import {', '.join(modules)}\n"
        "files = [getattr(module, '__file__', None) or '' for module in sys.modules.values()]\n"
        f"away = [file for file in files if file.startswith({str(ROOT)!r}) and 'site-packages' not in file]\n"
        "sys.exit(', '.join(away) or 0)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
