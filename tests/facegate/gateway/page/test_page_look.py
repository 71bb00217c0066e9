"""Every face of one picture, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

from support.browser import Watched
from support.made_images import saved
from support.page import View, is_painted


def look_view(watched: Watched) -> View:
    return View.of(watched.open("look"), "#look-view")


def test_every_face_is_listed_with_its_score_and_its_liveness(watched: Watched, pictures: Path) -> None:
    view = look_view(watched)
    view.give(pictures / "detection" / "t1.jpg")
    view.go()
    assert view.word == "6 FACES"
    assert re.fullmatch(r"\d real, \d fake\.", view.sentence)
    rows = view.root.get_by_role("row").all_inner_texts()
    assert len(rows) == 7
    for row in rows[1:]:
        assert re.search(r"(REAL|FAKE), P\(real\) [01]\.\d{3}\s+0\.[789]\d\d\s+\d+ . \d+ at \d+, \d+", row), row
    assert is_painted(view.root.locator("canvas"), 0, 0, 0.5, 1)
    assert is_painted(view.root.locator("canvas"), 0.5, 0, 1, 1)


def test_a_spoof_is_called_fake(watched: Watched, samples: dict[str, Path]) -> None:
    view = look_view(watched)
    view.give(samples["image_F1.jpg"])
    view.go()
    assert view.word == "1 FACE" and view.sentence == "0 real, 1 fake."
    assert "FAKE, P(real) 0.0" in view.text


def test_without_the_check_every_face_is_not_checked(watched: Watched, samples: dict[str, Path]) -> None:
    view = look_view(watched)
    view.give(samples["image_F1.jpg"])
    view.without_liveness()
    view.go()
    assert view.sentence == "Whether they are live was not checked."
    assert "liveness: not checked" in view.text and not re.search("REAL|FAKE", view.text)


def test_a_picture_without_faces_is_no_error(watched: Watched) -> None:
    blank = saved(Image.new("RGB", (320, 240), "grey"), "WEBP")
    view = look_view(watched)
    view.give({"name": "wall.webp", "mimeType": "image/webp", "buffer": blank})
    view.go()
    assert view.word == "NO FACES" and not view.problem
