"""What is a cut: measured on the labelled pictures and on made scenes, see facegate.cameras.tracking.tracks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facegate.cameras.tracking.tracks import Cuts

Pixels = NDArray[np.uint8]


def blotches(seed: int, height: int = 480, width: int = 640) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def cuts_of(*pictures: Pixels) -> list[bool]:
    cuts = Cuts()
    return [cuts.see(picture) for picture in pictures]


def test_another_picture_is_a_cut_and_the_first_is_none() -> None:
    assert cuts_of(blotches(0), blotches(0), blotches(1), blotches(1)) == [False, False, True, False]


def test_so_is_another_size() -> None:
    assert cuts_of(blotches(0), blotches(0)[:-1], blotches(0)[:-1]) == [False, True, False]


def test_what_moves_shakes_and_gets_brighter_is_none() -> None:
    whole = blotches(0, 520, 700)
    noise = np.random.default_rng(0).normal(0, 8, (480, 640, 3))
    moved = whole[8:488, 12:652]
    assert cuts_of(whole[:480, :640], moved, np.clip(moved + noise + 10, 0, 255).astype(np.uint8)) == [False] * 3


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (31, 33), (1080, 1920)])
def test_pictures_of_any_size_will_do(size: tuple[int, int]) -> None:
    dark, bright = np.zeros((*size, 3), np.uint8), np.full((*size, 3), 255, np.uint8)
    assert cuts_of(dark, dark, bright) == [False, False, True]


def test_the_picture_before_is_not_kept_alive_or_looked_at_again() -> None:
    buffer = blotches(0)
    cuts = Cuts()
    cuts.see(buffer)
    buffer[:] = blotches(1)  # a decoder's buffer, used again
    assert cuts.see(buffer)
