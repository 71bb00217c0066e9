"""A real headless Chromium for a test, watched: what goes wrong in a page, and what it asks of whom."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
INSTALL = "apt-get install --no-install-recommends chromium-headless-shell"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
PATIENCE_MS = 20_000


def chromium() -> str | None:
    """The program that $CHROMIUM names, or the first that is installed."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def browser(program: str, webcam: Path) -> Iterator[Browser]:
    """Chromium, whose webcam shows the film `webcam` (see `film_of`)."""
    with sync_playwright() as playwright:
        arguments = [*ARGUMENTS, f"--use-file-for-fake-video-capture={webcam}"]
        opened = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield opened
        finally:
            opened.close()


def film_of(picture: Path, film: Path, width: int = 640, height: int = 480) -> Path:
    """A film of one picture, whole and in the middle, as Chromium's fake webcam takes it: Y4M."""
    image = cv2.imread(str(picture))
    scale = min(width / image.shape[1], height / image.shape[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frame = np.full((height, width, 3), 128, np.uint8)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    frame[top : top + small.shape[0], left : left + small.shape[1]] = small
    pixels = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes()
    film.write_bytes(f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420\n".encode() + 2 * (b"FRAME\n" + pixels))
    return film


@dataclass
class Watched:
    """A page, and what a user would not see go wrong in it."""

    page: Page
    base: str
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", lambda request: self._asked(request.url))

    def open(self, view: str = "compare") -> Page:
        """The page, at one of its views."""
        self.page.goto(f"{self.base}/#{view}")
        self.page.locator(f"#{view}-view").wait_for()
        return self.page

    def asked(self, path: str) -> int:
        """How often `path` was asked for."""
        return sum(urlsplit(url).path == path for url in self.requests)

    def _said(self, message: ConsoleMessage) -> None:
        """What Chromium says by itself of an answer of 4xx or 5xx is no fault of the page."""
        answered = message.text.startswith("Failed to load resource: the server responded with a status of")
        if message.type in ("error", "warning") and not answered:
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, url: str) -> None:
        self.requests.append(url)
        if not url.startswith((f"{self.base}/", "blob:", "data:")):
            self.faults.append(f"asked for {url}")
