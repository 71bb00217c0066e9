"""The three wheels, installed into an environment of their own and used from an empty directory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from facegate.cli.running import free_ports
from facegate_client import FaceClient, FaceGateError
from support.serving import ROOT

PACKAGES = {"client": "facegate_client", "ensemble": "facegate_ensemble", "": "facegate"}

LOCAL = """
import sys
from facegate_client import FaceClient
with FaceClient(sys.argv[1], fallback="local") as client:
    verdict = client.verify(*sys.argv[2:], anti_spoofing=True)
print(verdict.verified, verdict.model.local)
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel by its package."""
    folder = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    for project, package in PACKAGES.items():
        subprocess.run([*build, str(folder / package)], cwd=ROOT / project, check=True, capture_output=True)
    return {package: next((folder / package).glob("*.whl")) for package in PACKAGES.values()}


class Installed:
    """An environment with the wheels, and what it runs in an empty directory. Weights are in FACEGATE_MIRROR alone."""

    def __init__(self, folder: Path, wheels: dict[str, Path], *options: str, extras: str = "") -> None:
        venv.create(folder / "environment", with_pip=True)
        self.programs = folder / "environment" / "bin"
        self.here = folder / "empty"
        self.here.mkdir()
        self.environment = {"PATH": os.defpath, "HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache")}
        self.environment["FACEGATE_MIRROR"] = os.environ.get("FACEGATE_MIRROR", "")
        files = [f"{wheel}{extras if package == 'facegate' else ''}" for package, wheel in wheels.items()]
        pip = [str(self.programs / "python"), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", *options, *files], check=True, cwd=self.here)

    def start(self, *command: str) -> subprocess.Popen[str]:
        line = [str(self.programs / command[0]), *command[1:]]
        return subprocess.Popen(
            line, cwd=self.here, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*command)
        out, error = process.communicate(timeout=240)
        return subprocess.CompletedProcess(command, process.returncode, out, error)


@pytest.fixture(scope="module")
def beside_ours(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheels with the packages of the environment that runs the tests, but for the editable ones."""
    installed = Installed(tmp_path_factory.mktemp("beside"), wheels, "--no-deps", "--no-index")
    purelib = next((installed.programs.parent / "lib").glob("python*")) / "site-packages"
    (purelib / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return installed


def test_a_wheel_has_its_package_alone(wheels: dict[str, Path]) -> None:
    for package, wheel in wheels.items():
        names = zipfile.ZipFile(wheel).namelist()
        assert {name.partition("/")[0].partition("-")[0] for name in names} == {package}
        assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in names}
        assert f"{package}/py.typed" in names


@pytest.mark.system
def test_the_wheels_work_with_the_packages_that_pip_installs(
    wheels: dict[str, Path], weights: dict[str, Path], tmp_path: Path
) -> None:
    use(Installed(tmp_path, wheels, extras="[serve,local]"), weights)


def test_the_packs_are_in_the_wheel(beside_ours: Installed) -> None:
    listed = beside_ours.run("facegate", "packs")
    assert (listed.returncode, "mobileface" in listed.stdout) == (0, True), listed.stderr


def test_the_wheels_work_from_an_empty_directory(beside_ours: Installed, weights: dict[str, Path]) -> None:
    use(beside_ours, weights)


def use(installed: Installed, weights: dict[str, Path]) -> None:
    live, spoof = (str(weights[name]) for name in ("image_T1.jpg", "image_F2.jpg"))
    for url in served(installed):
        verified = installed.run("faceclient", "verify", live, live, "--anti-spoofing", "--json", "--url", url)
        assert (verified.returncode, json.loads(verified.stdout)["verified"]) == (0, True), verified.stderr
        vetoed = installed.run("faceclient", "verify", live, spoof, "--anti-spoofing", "--url", url)
        assert (vetoed.returncode, "not live" in vetoed.stdout) == (1, True), vetoed.stderr
        answer = installed.run("python", "-c", LOCAL, url, live, live)
        assert answer.stdout == "True False\n", answer.stderr
    answer = installed.run("python", "-c", LOCAL, url, live, live)
    assert answer.stdout == "True True\n", answer.stderr
    assert not list(installed.here.iterdir()), "nothing is written where a command is called"


def is_ready(client: FaceClient) -> bool:
    with contextlib.suppress(FaceGateError):
        return client.is_ready()
    return False


def served(installed: Installed) -> Iterator[str]:
    """The address of a `facegate serve`, once it is ready."""
    grpc, http, metrics = map(str, free_ports(3))
    options = ("--grpc-port", grpc, "--http-port", http, "--metrics-port", metrics)
    server = installed.start("facegate", "serve", *options)
    try:
        url, until = f"127.0.0.1:{grpc}", time.monotonic() + 120
        with FaceClient(url) as client:
            while not is_ready(client):
                assert server.poll() is None and time.monotonic() < until, server.communicate()[1]
                time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.communicate(timeout=60)
