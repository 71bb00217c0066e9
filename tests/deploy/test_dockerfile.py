"""The image: what it is made of, and who runs in it."""

from __future__ import annotations

import re
import subprocess

import pytest

from facegate.packs.pack_file import read_toml
from support.serving import ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
TEXT = DOCKERFILE.read_text(encoding="utf-8")
TENSORRT = re.findall(r"^ARG TENSORRT=(\S+)$", TEXT, re.MULTILINE)


def packages(lock: str) -> dict[str, str]:
    """Names and versions in a lock. One that several platforms share has the same version on each."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def test_it_is_what_hadolint_calls_good(tool):
    judged = subprocess.run([tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_the_release_is_named_once():
    tag = re.search(r"^ARG TRITON_TAG=(\S+)$", TEXT, re.MULTILINE)[1]
    files = [*ROOT.glob("deploy/*"), ROOT / "docker-compose.yml", *ROOT.glob("docs/*.md"), ROOT / "README.md"]
    assert sum(path.read_text(encoding="utf-8").count(tag) for path in files) == 1


def test_what_is_copied_is_there():
    sources = []
    for line in re.findall(r"^COPY (?!--from)(.+)$", TEXT, re.MULTILINE):
        sources += [source.replace("${TENSORRT}", TENSORRT[0]) for source in line.split()[:-1]]
    assert sources
    assert not [source for source in sources if not (ROOT / source).exists()]


def test_there_is_a_lock_for_the_tensorrt_of_every_image(composed):
    chosen = composed()["services"]["build-jetson"]["build"]["args"]["TENSORRT"]
    for version in (*TENSORRT, chosen):
        assert packages(f"deploy/tensorrt-{version}.lock") == {
            "tensorrt-cu13": version,
            "tensorrt-cu13-bindings": version,
        }


def test_packages_are_taken_by_their_hashes():
    for lock in ROOT.glob("deploy/*.lock"):
        entries = re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8").strip())
        assert entries
        assert all("--hash=sha256:" in entry for entry in entries), lock.name
    installs = [line for line in TEXT.replace("\\\n", " ").splitlines() if "--requirement" in line]
    assert installs
    assert all(line.count("--requirement") == line.count("--require-hashes") for line in installs)


def needed() -> set[str]:
    """What this project asks for by name, to be built and served."""
    own, client, ensemble = (
        read_toml(ROOT / folder / "pyproject.toml")["project"] for folder in ("", "client", "ensemble")
    )
    extras = own["optional-dependencies"]
    asked = [
        *own["dependencies"],
        *extras["build"],
        *extras["serve"],
        *client["dependencies"],
        *ensemble["dependencies"],
    ]
    names = {re.match(r"[A-Za-z0-9-]+", each)[0] for each in asked if "python_version <" not in each}
    return names - {"facegate", "facegate-client", "facegate-ensemble", "nvidia-pytriton"}


def test_it_has_what_the_project_needs_in_the_versions_that_are_tested_here():
    own, tested = packages("deploy/requirements.lock"), packages("requirements.lock")
    assert "nvidia-pytriton" not in own
    assert {name: own.get(name) for name in needed()} == {name: tested[name] for name in needed()}
    assert packages("deploy/pycuda-tools.lock")["numpy"] == own["numpy"]


def test_nobody_in_it_is_root():
    assert re.findall(r"^USER (.+)$", TEXT, re.MULTILINE) == ["1000:1000"]
    after = TEXT[TEXT.index("USER 1000:1000") :]
    assert "RUN" not in after


@pytest.mark.parametrize("words", ["PASSWORD", "TOKEN", "SECRET", "ADMIN_KEY", "TLS"])
def test_no_secret_is_built_in(words):
    assert words not in TEXT.upper()
