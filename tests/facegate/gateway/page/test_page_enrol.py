"""What disturbs an enrolment, and what is left of it, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route

from support.browser import Watched
from support.gateway import Gateway
from support.page import View, drop, until

REGISTER = "**/v1/face/register"
AREA_OF_PHOTOS = "#enrol .photos"


@pytest.fixture
def form(watched: Watched, nobody: None) -> View:
    return View.of(watched.open("people"), "#enrol")


def fill(view: View, photos: list[Path], name: str = "Ada") -> Page:
    view.root.locator("input[type=file]").set_input_files(photos)
    view.root.get_by_label("Name").fill(name)
    return view.root.page


def row(page: Page) -> str:
    """The only person of the list."""
    assert page.locator("#roll .roll li").count() == 1
    return page.locator("#roll .roll li").inner_text()


def again(page: Page) -> None:
    page.evaluate("document.querySelector('#enrol form').requestSubmit()")
    page.evaluate("document.querySelector('#enrol button.main').click()")


def remove(page: Page) -> None:
    page.evaluate("document.querySelector('#enrol .thumbs button').click()")


def add(page: Page) -> None:
    drop(page, AREA_OF_PHOTOS, b"not looked at", ["late.jpg"])


@pytest.mark.parametrize("disturb", [again, remove, add])
def test_who_is_being_enrolled_is_enrolled_once_with_every_photo(
    form: View, watched: Watched, samples: dict[str, Path], disturb: Callable[[Page], None]
) -> None:
    held: list[Route] = []
    page = fill(form, [samples["image_T1.jpg"]] * 2)
    page.route(REGISTER, lambda route: route.continue_() if held else held.append(route))
    form.root.get_by_role("button", name="Enrol").click()
    until(page, lambda: held)
    disturb(page)
    held[0].continue_()
    form.done()
    assert form.sentence == "Ada is enrolled with 2 photos."
    assert watched.asked("/v1/face/register") == 2
    assert "2 photos" in row(page)
    assert form.root.locator(".thumbs li").count() == 0


def test_a_double_click_enrols_one_person(form: View, samples: dict[str, Path]) -> None:
    page = fill(form, [samples["image_T1.jpg"]] * 2)
    form.root.get_by_role("button", name="Enrol").dblclick()
    assert form.done().sentence == "Ada is enrolled with 2 photos."
    assert "2 photos" in row(page)


def test_photos_that_were_not_sent_are_counted_and_stay_for_the_same_person(
    form: View, watched: Watched, samples: dict[str, Path]
) -> None:
    page = fill(form, [samples["image_T1.jpg"]] * 4)
    body = {"error": {"code": "RESOURCE_EXHAUSTED", "message": "too much", "request_id": "of-the-second"}}

    def busy_at_the_second(route: Route) -> None:
        if watched.asked("/v1/face/register") == 2:
            route.fulfill(status=429, headers={"Retry-After": "7"}, body=json.dumps(body))
        else:
            route.continue_()

    page.route(REGISTER, busy_at_the_second)
    form.go()
    assert form.sentence == "Ada is enrolled with 1 of 4 photos."
    assert "Try again in 7 s. Request id of-the-second." in form.text and form.text.count("not sent") == 2
    assert "1 photo," in row(page)
    assert form.root.locator(".thumbs li").count() == 3 and "More photos of Ada" in form.text
    form.go()
    assert form.sentence == "Ada is enrolled with 3 photos."
    assert "4 photos" in row(page)
    assert form.root.locator(".thumbs li").count() == 0


def test_a_photo_that_is_stored_without_an_answer_is_said_and_seen(
    form: View, at_gateway: Gateway, samples: dict[str, Path]
) -> None:
    photo = {"img": samples["image_T1.jpg"].read_bytes()}

    def lose(route: Route) -> None:
        httpx.post(f"{at_gateway.base}/v1/face/register", data={"name": "Ada"}, files=photo).raise_for_status()
        route.fulfill(json={"id": "of-nobody", "name": "Ada"})  # without the liveness that was asked for

    page = fill(form, [samples["image_T1.jpg"]])
    page.route(REGISTER, lose)
    form.go()
    assert "does not say whether the face is live" in form.problem
    assert "It may be stored: see the list." in form.text
    assert "Ada" in row(page)


def test_photos_left_of_one_person_are_not_given_to_another(form: View, samples: dict[str, Path]) -> None:
    fill(form, [samples["image_T1.jpg"], samples["image_F2.jpg"]])
    form.go()
    assert form.root.locator(".thumbs li").count() == 1
    form.root.get_by_role("button", name="Cancel").click()
    assert form.root.locator(".thumbs li").count() == 0 and form.root.get_by_label("Name").is_visible()


def test_a_photo_of_several_people_is_refused_with_what_to_do_and_taken_once_that_is_done(
    form: View, pictures: Path
) -> None:
    group = pictures / "detection" / "selfie-many-people.jpg"
    page = fill(form, [group])
    form.without_liveness()
    form.go()
    assert "expected one face, found 6" in form.problem and "tick “Several faces: take the largest”" in form.problem
    assert page.locator("#roll .roll li").count() == 0 and form.root.locator(".thumbs li").count() == 1
    form.root.get_by_label("Several faces: take the largest").check()
    form.go()
    assert form.sentence == "Ada is enrolled with 1 photo."
    assert "the largest of 6 faces" in form.text
    assert not form.root.get_by_label("Several faces: take the largest").is_checked()  # it is not for the next person

    identify = View.of(page, "#identify")
    identify.give(group)
    identify.without_liveness()
    identify.go()
    assert identify.word == "MATCH" and "6 faces, the largest is identified" in identify.text
