"""Weights, pictures and servers for the tests. What cannot be had is said loudly, and in CI it is a failure."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from facegate.build.build import build, fetch_pack
from facegate.build.compiled import build_engines
from facegate.build.order import Order
from facegate.build.target import Precision, Target
from facegate.errors import FetchError
from facegate.packs.pack_file import PackFile
from facegate.packs.shipped import pack_named
from support.missing import MISSING, cannot_be_had
from support.serving import Server, all_have_stopped, serving


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MISSING] = []
    # A job in a shell's background starts with Ctrl-C ignored, and so does all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish() -> None:
    all_have_stopped()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for reason in config.stash[MISSING]:
        terminalreporter.section("NOT EVERYTHING WAS TESTED", red=True, bold=True)
        terminalreporter.line(reason)


@pytest.fixture(scope="session")
def pack() -> PackFile:
    return pack_named("mobileface")


@pytest.fixture(scope="session")
def weights(request: pytest.FixtureRequest, pack: PackFile) -> dict[str, Path]:
    """The pack's weights and the sample pictures, by their names."""
    try:
        return fetch_pack(pack)
    except FetchError as error:
        cannot_be_had(request.config, str(error))
        raise


@pytest.fixture(scope="session")
def samples(weights: dict[str, Path]) -> dict[str, Path]:
    """The demo's pictures by name."""
    return {name: path for name, path in weights.items() if name.endswith(".jpg")}


@pytest.fixture(scope="session")
def repository(pack: PackFile, samples: dict[str, Path]) -> Path:
    return build(pack)


@pytest.fixture(scope="session")
def rtx_repository(repository: Path, pack: PackFile) -> Path:
    """Engines of TensorRT for RTX in fp16, built here and judged on the sample pictures or the labelled ones."""
    order = Order(pack, Target.tensorrt_rtx, Precision.fp16)
    built = build_engines(order, accept_license=False, say=print, progress=lambda *told: None)
    assert built.repository is not None
    return built.repository


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest) -> Path:
    """The labelled pictures: folders detection, liveness and verification."""
    folder = Path(os.environ.get("FACEGATE_MIRROR", "")) / "images"
    if not folder.is_dir():
        cannot_be_had(
            request.config, "the labelled pictures are not here: FACEGATE_MIRROR names no directory with images/"
        )
    return folder


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The default server; no test may stop it or overload it."""
    with serving(tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def open_server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that takes shared memory of clients; a test may kill its Triton, which comes back."""
    with serving(tmp_path_factory.mktemp("open") / "log", "--client-shm") as running:
        yield running


@pytest.fixture(scope="session")
def bls_server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One whose ensemble asks Triton for the nets."""
    with serving(tmp_path_factory.mktemp("bls") / "log", "--inferer", "bls") as running:
        yield running


@pytest.fixture(scope="session")
def server_without_liveness(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("plain") / "log", "--without-liveness") as running:
        yield running
