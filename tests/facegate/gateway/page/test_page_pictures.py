"""How pictures come into the page, and what is drawn over them, in a real browser."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from support.browser import Watched
from support.made_images import exif, saved
from support.page import compare_view, drop, is_painted, painted, transfer, until

MOST_BYTES = 10 * 1024 * 1024


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])  # Chromium turns no WebP: docs/page.md
def test_boxes_and_landmarks_lie_on_the_face_of_a_picture_that_exif_turns(
    watched: Watched, samples: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    upright = ImageOps.exif_transpose(Image.open(samples["image_T1.jpg"]))
    files = [tmp_path / "upright", tmp_path / "turned"]
    files[0].write_bytes(saved(upright, kind, quality=95))
    files[1].write_bytes(saved(upright.transpose(Image.Transpose.ROTATE_90), kind, quality=95, exif=exif(6)))
    view = compare_view(watched, *files)
    assert view.go().word == "VERIFIED"
    places = []
    for canvas in view.root.locator("canvas").all():
        until(view.root.page, partial(is_painted, canvas, 0.3, 0.25, 0.55, 0.47))  # landmarks come after the box
        places.append(painted(canvas))
    assert np.abs(np.subtract(*places)).max() < 0.02, places
    left, top, right, bottom = places[0]
    assert 0.2 < left < 0.3 and 0.1 < top < 0.2 and 0.55 < right < 0.65 and 0.5 < bottom < 0.6


def test_two_files_dropped_at_once_fill_both_places(watched: Watched, samples: dict[str, Path]) -> None:
    view = compare_view(watched)
    drop(view.root.page, "#compare-view .slot >> nth=1", samples["image_T1.jpg"].read_bytes(), ["a.jpg", "b.jpg"])
    assert view.root.get_by_role("img", name="Picture 2: a.jpg").is_visible()
    assert view.root.get_by_role("img", name="Picture 1: b.jpg").is_visible()


def test_a_pasted_picture_goes_to_the_first_empty_place(watched: Watched, samples: dict[str, Path]) -> None:
    view = compare_view(watched, samples["image_T1.jpg"])
    handle = transfer(view.root.page, samples["image_T1.jpg"].read_bytes(), ["pasted.jpg"])
    view.root.page.evaluate(
        "data => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, cancelable: true}))", handle
    )
    assert view.root.get_by_role("img", name="Picture 2: pasted.jpg").is_visible()


def test_a_file_over_the_limit_is_never_sent(watched: Watched, tmp_path: Path, samples: dict[str, Path]) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(samples["image_T1.jpg"].read_bytes().ljust(MOST_BYTES + 1, b"\0"))
    view = compare_view(watched, large, samples["image_T1.jpg"])
    assert "large.jpg has 10.0 MiB; 10 MiB is the most." in view.text
    view.go()
    assert "Choose picture 1 first." in view.problem
    assert not watched.asked("/v1/face/verify")


@pytest.mark.parametrize(
    ("file", "title", "said"),
    [
        ({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"GIF89a, or so"}, "cannot take this", "picture 2"),
        ({"name": "b.bmp", "mimeType": "image/bmp", "buffer": b""}, "cannot take this", "picture 2"),
    ],
)
def test_what_is_no_picture_is_said_with_which_it_is_and_the_request(
    watched: Watched, samples: dict[str, Path], file: dict[str, Any], title: str, said: str
) -> None:
    view = compare_view(watched, samples["image_T1.jpg"], file)
    view.go()
    assert title in view.problem and said in view.problem and re.search(r"Request id \S{8,}", view.problem)
    assert view.root.locator(".word").count() == 0
