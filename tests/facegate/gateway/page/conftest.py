"""The page in a real Chromium, at a real gateway with real nets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from support.browser import INSTALL, Watched, browser, chromium, film_of
from support.gateway import Gateway, gateway
from support.missing import cannot_be_had
from support.page import KEY
from support.serving import Server


@pytest.fixture(scope="session")
def at_gateway(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Anybody may use it; people whom a test enrols are its to forget."""
    with gateway(tmp_path_factory.mktemp("gateway") / "log", server.grpc) as running:
        yield running


@pytest.fixture(scope="session")
def locked_gateway(server_without_liveness: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Wants KEY, and has no liveness nets behind it."""
    log = tmp_path_factory.mktemp("locked") / "log"
    keys = {"FACEGATE_GATEWAY_API_KEYS": f"tests:{KEY}"}
    with gateway(log, server_without_liveness.grpc, "--without-liveness", environment=keys) as running:
        yield running


@pytest.fixture(scope="module")
def chrome(
    request: pytest.FixtureRequest, samples: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """One for a module: asyncio.run of other modules' tests does not go beside Playwright's loop."""
    program = chromium()
    if program is None:
        cannot_be_had(request.config, f"the page is not tested: no Chromium; {INSTALL}, or name one in $CHROMIUM")
        raise AssertionError
    film = film_of(samples["image_T1.jpg"], tmp_path_factory.mktemp("webcam") / "film.y4m")
    with browser(program, film) as opened:
        yield opened


@pytest.fixture
def watched(chrome: Browser, at_gateway: Gateway) -> Iterator[Watched]:
    """A browser as a new user has it. Nothing may go wrong out of sight: no error, nothing asked of others."""
    with chrome.new_context() as context:
        page = Watched(context.new_page(), at_gateway.base)
        yield page
        assert page.faults == []


@pytest.fixture
def nobody(at_gateway: Gateway) -> Iterator[None]:
    """Whoever a test enrols is gone after it."""
    yield
    with httpx.Client(base_url=at_gateway.base) as client:
        for person in client.get("/v1/face/people").json()["people"]:
            client.post("/v1/face/forget", json={"id": person["id"]}).raise_for_status()
