"""Two pictures and a verdict, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Route

from support.browser import Watched
from support.made_images import saved
from support.page import compare_view, until


def test_one_live_person_is_verified_with_the_distance_and_both_probabilities(
    watched: Watched, samples: dict[str, Path]
) -> None:
    view = compare_view(watched, samples["image_T1.jpg"], samples["image_T1.jpg"])
    view.go()
    assert view.word == "VERIFIED"
    assert view.sentence == "The distance says one person, and both faces are live."
    assert re.search(r"distance 0\.000 is under the threshold 0\.570", view.text)
    assert len(re.findall(r"Face of picture [12]: REAL, P\(real\) (?:0\.9\d\d|1\.000)", view.text)) == 2
    meter = view.root.get_by_role("meter", name="Distance")
    assert float(meter.get_attribute("aria-valuenow") or "9") < 0.01
    assert meter.get_attribute("aria-valuetext") == "0.000, threshold 0.570"


def test_a_spoof_is_vetoed_and_the_veto_said_in_words(watched: Watched, samples: dict[str, Path]) -> None:
    view = compare_view(watched, samples["image_T1.jpg"], samples["image_F2.jpg"])
    view.go()
    assert view.word == "NOT VERIFIED"
    assert view.sentence == (
        "The distance says one person, but the face of picture 2 is not live, so it is not verified."
    )
    assert "Face of picture 1: REAL" in view.text and "Face of picture 2: FAKE, P(real) 0.0" in view.text


def test_without_the_check_no_face_is_called_real_or_fake(watched: Watched, samples: dict[str, Path]) -> None:
    view = compare_view(watched, samples["image_T1.jpg"], samples["image_F2.jpg"])
    view.without_liveness()
    view.go()
    assert view.word == "VERIFIED"
    assert view.sentence == "The distance says one person. Whether the faces are live was not checked."
    assert view.text.count("liveness: not checked") == 4  # under each picture and in the list
    assert not re.search("REAL|FAKE", view.text)


def test_two_people_are_not_verified(watched: Watched, samples: dict[str, Path], pictures: Path) -> None:
    view = compare_view(watched, samples["image_T1.jpg"], pictures / "liveness" / "true_001.jpg")
    view.go()
    assert view.word == "NOT VERIFIED"
    assert view.sentence == "The distance says two different people, and both faces are live."
    assert "is not under the threshold" in view.text


def test_a_verdict_goes_when_a_picture_or_the_check_changes(watched: Watched, samples: dict[str, Path]) -> None:
    view = compare_view(watched, samples["image_T1.jpg"], samples["image_T1.jpg"])
    for change in (lambda: view.give(samples["image_F2.jpg"]), view.without_liveness):
        view.go()
        change()
        assert view.root.locator(".word").count() == 0
        assert not re.search("REAL|FAKE|VERIFIED", view.text)


@pytest.mark.parametrize("path", ["verify", "analyze"])
def test_an_answer_for_pictures_that_are_gone_is_not_shown(
    watched: Watched, samples: dict[str, Path], path: str
) -> None:
    view = compare_view(watched)
    page = view.root.page
    held: list[Route] = []
    page.route(f"**/v1/face/{path}", lambda route: held.append(route))
    view.give(samples["image_T1.jpg"], samples["image_T1.jpg"])
    view.root.get_by_role("button", name="Compare").click()
    until(page, lambda: len(held) == (2 if path == "analyze" else 1))
    view.give(samples["image_F2.jpg"])
    for route in held:
        route.continue_()
    page.unroute(f"**/v1/face/{path}")
    page.wait_for_timeout(200)
    assert not re.search("REAL|FAKE|VERIFIED", view.text)


def test_no_face_is_said_with_the_picture_it_is_missing_in(watched: Watched, samples: dict[str, Path]) -> None:
    blank = saved(Image.new("RGB", (320, 240), "grey"), "PNG")
    view = compare_view(watched)
    view.give(samples["image_T1.jpg"], {"name": "wall.png", "mimeType": "image/png", "buffer": blank})
    view.go()
    assert "Not found" in view.problem and "no face in picture 2" in view.problem


def test_both_pictures_from_the_webcam_are_one_live_person(watched: Watched) -> None:
    view = compare_view(watched)
    view.take(0)
    view.take(1)
    view.go()
    assert view.word == "VERIFIED" and view.text.count("REAL, P(real)") == 4


def test_every_verdict_has_its_words(watched: Watched) -> None:
    said: list[object] = watched.open().evaluate("""async () => {
        const {comparison, livenessOf} = await import('/words.js');
        const sentences = [];
        for (const distance of [0.2, 0.8]) {
            for (const faces of [[true, true], [true, false], [false, true], [false, false], null]) {
                const liveness = [0, 1].map(index => livenessOf(faces !== null, faces?.[index], 0.5));
                const answer = {distance, threshold: 0.57, verified: distance < 0.57};
                const {verified, sentence} = comparison(answer, liveness);
                sentences.push([verified, sentence]);
            }
        }
        return sentences;
    }""")
    one, two = "The distance says one person", "The distance says two different people"
    vetoed = "so it is not verified."
    assert said == [  # "verified" of the server is never enough for a face that is not live
        [True, f"{one}, and both faces are live."],
        [False, f"{one}, but the face of picture 2 is not live, {vetoed}"],
        [False, f"{one}, but the face of picture 1 is not live, {vetoed}"],
        [False, f"{one}, but neither face is live, {vetoed}"],
        [True, f"{one}. Whether the faces are live was not checked."],
        [False, f"{two}, and both faces are live."],
        [False, f"{two}, and the face of picture 2 is not live."],
        [False, f"{two}, and the face of picture 1 is not live."],
        [False, f"{two}, and neither face is live."],
        [False, f"{two}. Whether the faces are live was not checked."],
    ]
