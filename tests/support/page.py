"""What a user does with the gateway's page and sees in it."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page

from support.browser import PATIENCE_MS, Watched

KEY = "a-key-of-the-tests-0123456789abcdef"


@dataclass(frozen=True)
class View:
    """A part of the page with a form and what comes of it."""

    root: Locator

    @classmethod
    def of(cls, page: Page, selector: str) -> View:
        return cls(page.locator(selector))

    def give(self, *pictures: Path | dict[str, object]) -> None:
        """A picture to each of its places, in order."""
        for index, picture in enumerate(pictures):
            self.root.locator("input[type=file]").nth(index).set_input_files(picture)  # type: ignore[arg-type]

    def take(self, index: int) -> None:
        """A picture from the webcam to one of its places."""
        self.root.get_by_role("button", name="Webcam").nth(index).click()
        self.root.page.get_by_text("The preview is mirrored").wait_for()
        self.root.page.get_by_role("button", name="Take picture").click()
        self.root.get_by_role("img", name="webcam.jpg").and_(self.root.locator(".slot img").nth(index)).wait_for()

    def without_liveness(self) -> None:
        self.root.get_by_label("Check liveness").uncheck()

    def go(self) -> View:
        """Press its button and wait for what comes of it."""
        self.root.locator("button[type=submit]").click()
        return self.done()

    def done(self) -> View:
        self.root.locator(".result:not([aria-busy]) :is(.word, .problem p)").first.wait_for()
        return self

    @property
    def word(self) -> str:
        return self.root.locator(".word").inner_text()

    @property
    def sentence(self) -> str:
        return self.root.locator(".sentence").inner_text()

    @property
    def problem(self) -> str:
        return self.root.locator(".result > .problem").inner_text()

    @property
    def text(self) -> str:
        return self.root.inner_text()


def compare_view(watched: Watched, *given: Path) -> View:
    """Where two pictures are compared, with those that are given."""
    view = View.of(watched.open("compare"), "#compare-view")
    view.give(*given)
    return view


def painted(canvas: Locator) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of everything that is drawn, as shares of the canvas."""
    opaque = _opaque(canvas)
    (rows, columns), (height, width) = np.nonzero(opaque), opaque.shape
    return columns.min() / width, rows.min() / height, columns.max() / width, rows.max() / height


def is_painted(canvas: Locator, left: float, top: float, right: float, bottom: float) -> bool:
    """Whether anything is drawn in a part of the canvas, in shares of it."""
    opaque = _opaque(canvas)
    height, width = opaque.shape
    return bool(opaque[int(top * height) : int(bottom * height), int(left * width) : int(right * width)].any())


def _opaque(canvas: Locator) -> NDArray[np.bool_]:
    """[height, width]: where something is drawn."""
    url = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
    file = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_UNCHANGED)[..., 3] > 0)


def until(page: Page, holds: Callable[[], object]) -> None:
    """Let the page go on until something holds. Playwright's own waiting evaluates text, which the page forbids."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not holds():
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)


def transfer(page: Page, content: bytes, names: list[str]) -> Any:
    """A DataTransfer of pictures, each with this content."""
    script = """([bytes, names]) => {
        const data = new DataTransfer();
        for (const name of names) data.items.add(new File([new Uint8Array(bytes)], name, {type: 'image/jpeg'}));
        return data;
    }"""
    return page.evaluate_handle(script, [list(content), names])


def drop(page: Page, selector: str, content: bytes, names: list[str]) -> None:
    """Drop pictures, each with this content, on what `selector` names."""
    page.locator(selector).dispatch_event("drop", {"dataTransfer": transfer(page, content, names)})
