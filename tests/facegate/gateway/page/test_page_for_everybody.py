"""The page without a mouse, without sight of colours, in the dark, on a phone; and how little it asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from facegate.gateway.page import STATIC
from support.browser import Watched
from support.gateway import Gateway
from support.page import View, until

MOST_BYTES = 64 * 1024
VIEWS = ("compare", "look", "people")


def test_two_pictures_are_compared_by_keyboard_alone(watched: Watched, samples: dict[str, Path]) -> None:
    page = watched.open("compare")
    page.on("filechooser", lambda chooser: chooser.set_files(samples["image_T1.jpg"]))
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    for number in (1, 2):
        tab_to(page, "Choose a file")
        page.keyboard.press("Enter")
        page.get_by_role("img", name=f"Picture {number}").wait_for()
    tab_to(page, "Check liveness")
    page.keyboard.press("Space")
    tab_to(page, "Compare")
    page.keyboard.press("Enter")
    view = View.of(page, "#compare-view").done()
    assert view.word == "VERIFIED" and "not checked" in view.sentence
    assert focused(page) == "Compare"  # what came of it is told, and moves nobody


def test_a_dialog_takes_the_focus_and_gives_it_back(watched: Watched) -> None:
    page = watched.open("compare")
    tab_to(page, "Webcam")
    page.keyboard.press("Enter")
    page.get_by_text("The preview is mirrored").wait_for()
    assert page.evaluate("document.activeElement.closest('dialog')?.id") == "webcam"
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    assert focused(page) == "Webcam"
    until(page, lambda: page.evaluate("document.querySelector('#webcam video').srcObject === null"))


@pytest.mark.parametrize("view", VIEWS)
def test_everything_that_is_used_has_a_name_and_every_id_is_one_elements(watched: Watched, view: str) -> None:
    page = watched.open(view)
    nameless = page.evaluate("""() => [...document.querySelectorAll('button, a, input, textarea, meter, dialog')]
        .filter(each => !(each.ariaLabel || each.textContent.trim() || each.labels?.[0]?.textContent.trim()
            || document.getElementById(each.getAttribute('aria-labelledby'))))
        .map(each => each.outerHTML)""")
    assert nameless == []
    repeated = page.evaluate("""() => [...document.querySelectorAll('[id]')].map(each => each.id)
        .filter((id, index, all) => all.indexOf(id) !== index)""")
    assert repeated == []
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("main").count() == 1 and page.get_by_role("banner").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"
    current = page.locator("nav [aria-current=page]")
    assert current.count() == 1 and current.inner_text().lower() == view
    assert page.locator("img:not([alt])").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(
    chrome: Browser, at_gateway: Gateway, samples: dict[str, Path], scheme: Any
) -> None:
    with chrome.new_context(color_scheme=scheme, reduced_motion="reduce") as context:
        watched = Watched(context.new_page(), at_gateway.base)
        view = View.of(watched.open("compare"), "#compare-view")
        view.give(samples["image_T1.jpg"], samples["image_F2.jpg"])
        view.go()
        assert faint(watched.page) == []
        view.give({"name": "none.jpg", "mimeType": "image/jpeg", "buffer": b"none"})
        view.go()
        assert view.problem and faint(watched.page) == []
        watched.open("people")
        assert faint(watched.page) == []
        watched.page.get_by_role("button", name="API key").click()
        assert faint(watched.page) == []


def test_a_phone_needs_no_scrolling_sideways(chrome: Browser, at_gateway: Gateway, samples: dict[str, Path]) -> None:
    with chrome.new_context(viewport={"width": 320, "height": 640}) as context:
        watched = Watched(context.new_page(), at_gateway.base)
        for name in VIEWS[:2]:
            view = View.of(watched.open(name), f"#{name}-view")
            view.give(*[samples["image_T1.jpg"]] * view.root.locator("input[type=file]").count())
            view.go()
            assert sideways(watched.page) == 0
        watched.open("people")
        assert sideways(watched.page) == 0


def test_who_wants_no_motion_gets_none(chrome: Browser, at_gateway: Gateway, samples: dict[str, Path]) -> None:
    with chrome.new_context(reduced_motion="reduce") as context:
        watched = Watched(context.new_page(), at_gateway.base)
        view = View.of(watched.open("compare"), "#compare-view")
        view.give(samples["image_T1.jpg"], samples["image_T1.jpg"])
        view.go()
        assert watched.page.evaluate("document.getAnimations().length") == 0


def test_the_page_is_small_and_asks_nobody_else(watched: Watched) -> None:
    assert sum(file.stat().st_size for file in STATIC.iterdir()) < MOST_BYTES
    page = watched.open("people")
    page.get_by_text("Nobody yet.").wait_for()
    paths = {url.removeprefix(watched.base).partition("#")[0].partition("?")[0] for url in watched.requests}
    served = {f"/{file.name}" for file in STATIC.iterdir()}
    assert paths - {"/v1/face/people"} == served - {"/index.html"} | {"/"}


def test_nothing_but_the_pages_own_is_run_or_framed(watched: Watched) -> None:
    answer = watched.open().request.get(watched.base)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\s(style|on\w+)=|<style|<script>", html)


def focused(page: Page) -> str:
    """The name of what has the focus."""
    return str(
        page.evaluate("""() => {
        const focus = document.activeElement;
        return (focus.ariaLabel || focus.labels?.[0]?.textContent || focus.textContent).trim();
    }""")
    )


def tab_to(page: Page, name: str) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if focused(page) == name:
            return
    raise AssertionError(f"{name} is not reached by the keyboard")


def sideways(page: Page) -> int:
    """How many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def faint(page: Page) -> list[str]:
    """Texts in view whose contrast is under 4.5, as WCAG 2.2 counts it."""
    found: list[str] = page.evaluate("""() => {
        const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
        const rgba = colour => {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data];
        };
        const light = ([r, g, b]) => [r, g, b]
            .map(value => value / 255)
            .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
            .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
        const behind = each => {
            for (; each; each = each.parentElement) {
                const back = rgba(getComputedStyle(each).backgroundColor);
                if (back[3] === 255) return back;
            }
            return [255, 255, 255, 255];
        };
        const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const faint = [];
        while (texts.nextNode()) {
            const holder = texts.currentNode.parentElement;
            if (!texts.currentNode.textContent.trim() || !holder.checkVisibility()) continue;
            const [a, b] = [light(rgba(getComputedStyle(holder).color)), light(behind(holder))].sort((x, y) => y - x);
            const contrast = (a + 0.05) / (b + 0.05);
            if (contrast < 4.5) faint.push(`${contrast.toFixed(2)}: ${texts.currentNode.textContent.trim()}`);
        }
        return faint;
    }""")
    return found
