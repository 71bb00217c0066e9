"""What the page makes of a gateway that does not answer as asked, in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from support.browser import Watched
from support.gateway import Gateway
from support.page import KEY, View, compare_view, until


@pytest.fixture
def locked(chrome: Browser, locked_gateway: Gateway) -> Iterator[Watched]:
    """The page of a gateway that wants KEY, and has no liveness nets behind it."""
    with chrome.new_context() as context:
        page = Watched(context.new_page(), locked_gateway.base)
        yield page
        assert page.faults == []


def give_key(page: Page, key: str, *, keep: bool = False) -> None:
    dialog = page.get_by_role("dialog", name="API key")
    dialog.get_by_label("Key", exact=True).fill(key)
    if keep:
        dialog.get_by_label("Keep until this tab is closed").check()
    dialog.get_by_role("button", name="Use this key").click()


def test_a_wrong_key_is_asked_for_again_and_the_right_one_goes_on(locked: Watched, samples: dict[str, Path]) -> None:
    view = compare_view(locked, samples["image_T1.jpg"], samples["image_F2.jpg"])
    page = view.root.page
    view.without_liveness()
    view.root.get_by_role("button", name="Compare").click()
    page.get_by_text("This gateway wants an API key.").wait_for()
    give_key(page, "wrong")
    page.get_by_text("The gateway does not know this key.").wait_for()
    give_key(page, KEY)
    assert view.done().word == "VERIFIED"
    stored = page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}]) + document.cookie")
    assert KEY not in stored and KEY not in page.content()
    page.reload()
    page.get_by_role("link", name="People").click()
    page.get_by_text("This gateway wants an API key.").wait_for()


def test_a_key_is_kept_for_the_tab_only_where_that_was_ticked(locked: Watched) -> None:
    page = locked.open("people")
    give_key(page, KEY, keep=True)
    page.get_by_text("Nobody yet.").wait_for()
    page.reload()
    page.get_by_text("Nobody yet.").wait_for()
    assert KEY not in page.evaluate("JSON.stringify({...localStorage}) + document.cookie")
    page.get_by_role("button", name="API key").click()
    give_key(page, "")
    page.reload()
    page.get_by_text("This gateway wants an API key.").wait_for()


def test_who_gives_no_key_is_told_so_with_the_request(locked: Watched, samples: dict[str, Path]) -> None:
    view = compare_view(locked, samples["image_T1.jpg"], samples["image_F2.jpg"])
    view.root.get_by_role("button", name="Compare").click()
    view.root.page.get_by_role("dialog", name="API key").get_by_role("button", name="Cancel").click()
    view.done()
    assert "No access" in view.problem and re.search(r"Request id \S{8,}", view.problem)


@pytest.mark.parametrize("selector", ["#compare-view", "#look-view", "#identify", "#enrol"])
def test_without_liveness_nets_nothing_is_called_fake_or_real(
    locked: Watched, samples: dict[str, Path], selector: str
) -> None:
    name = selector.removeprefix("#").removesuffix("-view")
    page = locked.open(name if selector.endswith("-view") else "people")
    if not selector.endswith("-view"):
        give_key(page, KEY)
    view = View.of(page, selector)
    for index in range(view.root.locator("input[type=file]").count()):
        view.root.locator("input[type=file]").nth(index).set_input_files(samples["image_F2.jpg"])
    if selector == "#enrol":
        view.root.get_by_label("Name").fill("Ada")
    view.root.locator("button[type=submit]").click()
    if selector.endswith("-view"):
        give_key(page, KEY)
    view.done()
    assert "Liveness was not checked" in view.problem and "Untick “Check liveness”" in view.problem
    assert re.search(r"Request id \S{8,}", view.problem)
    assert not re.search("REAL|FAKE|VERIFIED|NOT LIVE|ENROLLED", view.text)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (429, "RESOURCE_EXHAUSTED", "The server is busy. Try again in 7 s."),
        (503, "UNAVAILABLE", "something of ours. Try again in 7 s."),
        (504, "DEADLINE_EXCEEDED", "The server did not answer in time. Try again in 7 s."),
        (500, "INTERNAL", "something of ours."),
    ],
)
def test_trouble_is_said_in_words_with_the_request_and_when_to_try_again(
    watched: Watched, samples: dict[str, Path], status: int, code: str, said: str
) -> None:
    body = {"error": {"code": code, "message": "something of ours", "request_id": "id-of-the-request"}}

    def answer(route: Route) -> None:
        route.fulfill(status=status, headers={"Retry-After": "7"}, body=json.dumps(body))

    view = compare_view(watched, samples["image_T1.jpg"], samples["image_F2.jpg"])
    view.root.page.route("**/v1/face/verify", answer)
    view.go()
    assert said in view.problem and "Request id id-of-the-request" in view.problem


def test_an_answer_that_is_not_json_and_one_that_never_comes_are_said(
    watched: Watched, samples: dict[str, Path]
) -> None:
    view = compare_view(watched, samples["image_T1.jpg"], samples["image_F2.jpg"])
    page = view.root.page
    page.route("**/v1/face/verify", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    assert "The answer has status 502 and no reason." in view.go().problem
    page.unroute("**/v1/face/verify")
    page.route("**/v1/face/verify", lambda route: route.abort())
    assert "The gateway cannot be reached." in view.go().problem
    watched.faults.remove("error: Failed to load resource: net::ERR_FAILED")


@pytest.mark.parametrize("left_out", ["img1_is_real", "img2_is_real"])
def test_an_answer_without_the_liveness_that_was_asked_for_is_no_verdict(
    watched: Watched, samples: dict[str, Path], left_out: str
) -> None:
    area = {"x": 10, "y": 10, "w": 50, "h": 60}
    answer = {"verified": True, "distance": 0.1, "threshold": 0.57, "confidence": 82.0, "model": "mobileface"}
    answer |= {"img1_area": area, "img2_area": area, "processing_time_ms": 30.0}
    answer |= {"img1_is_real": True, "img1_antispoof_score": 0.9, "img2_is_real": True, "img2_antispoof_score": 0.9}
    del answer[left_out]
    view = compare_view(watched, samples["image_T1.jpg"], samples["image_F2.jpg"])
    view.root.page.route("**/v1/face/verify", lambda route: route.fulfill(json=answer))
    view.go()
    assert "does not say whether the face is live" in view.problem
    assert not re.search("REAL|FAKE|VERIFIED", view.text)


AREA = {"x": 10, "y": 10, "w": 50, "h": 60}
VERIFIED = {"verified": True, "distance": 0.1, "threshold": 0.57, "confidence": 82.0, "model": "mobileface"}
VERIFIED |= {"img1_area": AREA, "img2_area": AREA, "processing_time_ms": 30.0}


@pytest.mark.parametrize(
    ("answer", "checked", "said"),
    [
        (VERIFIED | {"img1_is_real": True, "img2_is_real": True}, True, "The answer does not say P(real)."),
        (VERIFIED | {"distance": 1.1}, False, "its distance says two different people"),
        (VERIFIED | {"distance": None}, False, "not one that this page understands"),
        ({}, False, "not one that this page understands"),
    ],
)
def test_an_answer_that_contradicts_itself_or_lacks_something_is_said_in_words(
    watched: Watched, samples: dict[str, Path], answer: dict[str, object], checked: bool, said: str
) -> None:
    view = compare_view(watched, samples["image_T1.jpg"], samples["image_F2.jpg"])
    view.root.page.route("**/v1/face/verify", lambda route: route.fulfill(json=answer))
    if not checked:
        view.without_liveness()
    view.go()
    assert said in view.problem
    assert not re.search("REAL|FAKE|VERIFIED", view.text)


def test_a_verdict_stands_without_landmarks(watched: Watched, samples: dict[str, Path]) -> None:
    view = compare_view(watched, samples["image_T1.jpg"], samples["image_F2.jpg"])
    view.root.page.route("**/v1/face/analyze", lambda route: route.fulfill(status=429, body="{}"))
    assert "is not live" in view.go().sentence
    until(view.root.page, lambda: watched.asked("/v1/face/analyze") == 2)
    assert view.word == "NOT VERIFIED" and not view.problem
