""".dockerignore: what leaves the checkout for an image."""

from __future__ import annotations

import importlib.util

import pytest

from support.missing import cannot_be_had
from support.serving import ROOT


@pytest.fixture(scope="module")
def sent(request, tmp_path_factory):
    """The paths that Docker sends from a checkout with everything in it that must stay behind."""
    if importlib.util.find_spec("docker") is None:
        cannot_be_had(request.config, ".dockerignore is not tested: the package docker is not installed")
    from docker.utils.build import exclude_paths

    checkout = tmp_path_factory.mktemp("checkout")
    for name in (
        ".env",
        ".git/config",
        ".venv/bin/python",
        "build/fetched/MobileFaceNet.onnx",
        "build/repository/mobileface-tensorrt-fp16/face_detector/1/model.plan",
        "facegate/packs/mine.toml",
        "facegate/packs/mine.onnx",
        "deploy/server.key",
        "deploy/server.pem",
        "facegate/build/build.py",
        "facegate/__pycache__/build.cpython-312.pyc",
        "client/facegate_client/contract.py",
        "client/facegate_client.egg-info/PKG-INFO",
        "tests/conftest.py",
        "benchmarks/soak.py",
        "shared/images/face.jpg",
    ):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    return {path for path in exclude_paths(str(checkout), patterns) if (checkout / path).is_file()}


def test_code_and_packs_are_sent_and_nothing_else(sent):
    expected = {"facegate/packs/mine.toml", "facegate/build/build.py", "client/facegate_client/contract.py"}
    assert sent - {"Dockerfile", ".dockerignore"} == expected
