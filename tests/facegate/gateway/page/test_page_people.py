"""People enrolled, identified and forgotten, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page

from support.browser import Watched
from support.page import View

pytestmark = pytest.mark.usefixtures("nobody")

NAME = "<img src=x onerror=document.title=1>"


def people(watched: Watched) -> Page:
    page = watched.open("people")
    page.get_by_text("Nobody yet.").wait_for()
    return page


def enrol(page: Page, name: str, *photos: Path, labels: str = "") -> View:
    view = View.of(page, "#enrol")
    view.root.locator("input[type=file]").set_input_files(photos)
    view.root.get_by_label("Name").fill(name)
    view.root.get_by_label("Labels").fill(labels)
    return view.go()


def identify(page: Page, photo: Path) -> View:
    view = View.of(page, "#identify")
    view.give(photo)
    return view.go()


def forget(page: Page, name: str) -> None:
    page.get_by_role("button", name=f"Forget: {name}").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    page.get_by_text(f"{name} is forgotten.").wait_for()


def test_a_person_is_enrolled_identified_forgotten_and_then_unknown(watched: Watched, samples: dict[str, Path]) -> None:
    page = people(watched)
    done = enrol(page, "Ada", samples["image_T1.jpg"], samples["image_T1.jpg"], labels="team: night\n shift : 2 ")
    assert done.word == "ENROLLED" and done.sentence == "Ada is enrolled with 2 photos."
    row = page.locator(".roll li")
    row.get_by_text("Ada", exact=True).wait_for()
    assert re.search(r"2 photos, since .*· (team: night, shift: 2|shift: 2, team: night)", row.inner_text())

    found = identify(page, samples["image_T1.jpg"])
    assert found.word == "MATCH" and found.sentence == "This is Ada."
    assert re.search(r"Ada.*\s+0\.000\s+match", found.root.get_by_role("row").nth(1).inner_text(), re.DOTALL)

    forget(page, "Ada")
    assert found.root.locator(".word").count() == 0  # what was said of Ada is gone with her
    assert found.go().word == "UNKNOWN" and "Nobody is enrolled" in found.sentence
    page.reload()
    page.get_by_text("Nobody yet.").wait_for()


def test_who_thinks_better_of_it_forgets_nobody(watched: Watched, samples: dict[str, Path]) -> None:
    page = people(watched)
    enrol(page, "Ada", samples["image_T1.jpg"])
    for leave in (lambda: page.keyboard.press("Escape"), lambda: page.get_by_role("button", name="Cancel").click()):
        page.get_by_role("button", name="Forget: Ada").click()
        page.get_by_role("dialog", name="Forget Ada?").wait_for()
        leave()
        assert not page.get_by_role("dialog").is_visible()
    assert not watched.asked("/v1/face/forget")


def test_a_spoof_is_neither_enrolled_nor_identified(watched: Watched, samples: dict[str, Path]) -> None:
    page = people(watched)
    refused = enrol(page, "Eve", samples["image_F2.jpg"])
    assert "Not live, so not enrolled" in refused.problem and "Request id" in refused.problem
    assert refused.root.get_by_label("Name").input_value() == "Eve"
    partly = enrol(page, "Ada", samples["image_T1.jpg"])  # beside the spoof, which is still there
    assert partly.sentence == "Ada is enrolled with 1 of 2 photos."
    assert "image_F2.jpg: Not live, so not enrolled." in partly.text

    vetoed = identify(page, samples["image_F2.jpg"])
    assert vetoed.word == "NOT LIVE"
    assert re.fullmatch(r"The face is not live \(P\(real\) 0\.0\d\d\), so nobody was identified\.", vetoed.sentence)
    assert "Ada" not in vetoed.text
    vetoed.without_liveness()
    found = vetoed.go()
    assert found.word == "MATCH" and found.sentence == "This is Ada. Whether the face is live was not checked."


def test_somebody_else_is_unknown_and_two_of_one_face_are_ambiguous(
    watched: Watched, samples: dict[str, Path], pictures: Path
) -> None:
    page = people(watched)
    enrol(page, "Ada", samples["image_T1.jpg"])
    other = identify(page, pictures / "liveness" / "true_001.jpg")
    assert other.word == "UNKNOWN"
    assert re.search(r"the nearest is at [01]\.\d{3}, the threshold is 0\.570", other.sentence)
    enrol(page, "Bea", samples["image_T1.jpg"])
    both = identify(page, samples["image_T1.jpg"])
    assert both.word == "AMBIGUOUS" and re.match("(Ada or Bea|Bea or Ada): both are too near", both.sentence)
    assert both.text.count("under the threshold, not meant") == 2


def test_a_known_person_gets_one_more_photo(watched: Watched, samples: dict[str, Path]) -> None:
    page = people(watched)
    enrol(page, "Ada", samples["image_T1.jpg"])
    page.get_by_role("button", name="Add photos: Ada").click()
    view = View.of(page, "#enrol")
    assert "More photos of Ada" in view.text and not view.root.get_by_label("Name").is_visible()
    view.give(samples["image_T1.jpg"])
    view.go()
    page.get_by_text("2 photos").wait_for()
    assert page.locator(".roll li").count() == 1
    assert view.root.get_by_label("Name").is_visible()


def test_a_name_that_is_markup_is_only_ever_text(watched: Watched, samples: dict[str, Path]) -> None:
    page = people(watched)
    enrol(page, NAME, samples["image_T1.jpg"], labels=f"{NAME}: {NAME}")
    found = identify(page, samples["image_T1.jpg"])
    assert found.sentence == f"This is {NAME}."
    page.get_by_role("button", name=f"Forget: {NAME}").click()
    assert page.get_by_role("heading", name=f"Forget {NAME}?").is_visible()
    assert page.locator("[onerror], [src=x]").count() == 0
    assert page.title() == "FaceGate"


def test_a_line_that_is_no_label_is_said_before_anything_is_sent(watched: Watched, samples: dict[str, Path]) -> None:
    page = people(watched)
    view = enrol(page, "Ada", samples["image_T1.jpg"], labels="night shift")
    assert "“night shift” is no label" in view.problem
    assert not watched.asked("/v1/face/register")
