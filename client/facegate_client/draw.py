"""Reads an image file, draws faces on it and writes it again. Needs OpenCV: the extra `draw`."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate_client.errors import BadImage
from facegate_client.images import check_frame
from facegate_client.results import Face

Colour = tuple[int, int, int]  # BGR
Picture = NDArray[np.uint8]

REAL: Colour = (60, 160, 30)  # green
FAKE: Colour = (40, 40, 215)  # red
NOT_CHECKED: Colour = (110, 110, 110)  # grey
_TEXT: Colour = (255, 255, 255)  # readable on each of the three

_LINE_EVERY = 320  # a line is one pixel wide for so many pixels of the picture's shorter side
_FULL_FONT_AT = 900  # the shorter side at which the font has OpenCV's size 1, about 22 pixels high
_FONT = 0  # cv2.FONT_HERSHEY_SIMPLEX, without importing OpenCV
_WIDEST = 1.6  # a label, in widths of its face's box
_SMALLEST_FONT = 0.35  # smaller cannot be read
_FAR = 1e6  # pixels; beyond any picture, and within what OpenCV's integers hold


@dataclass(frozen=True, slots=True)
class Mark:
    """What is drawn of a face: its box (x1 y1 x2 y2) and landmarks (x y), pixels, and its label, in one colour.

    OpenCV's font has ASCII alone: other letters of `text` lose their accents or become question marks.
    """

    box: tuple[float, ...]
    landmarks: tuple[tuple[float, ...], ...]
    text: str
    colour: Colour


def annotate(image: Picture, faces: Iterable[Face]) -> Picture:
    """A copy of `image` (uint8 [height, width, 3], BGR) with each face's box, five landmarks, liveness and scores.

    Green is real, red is fake, grey is not checked. The first number is P(real), the second the detector's score.
    Raises BadImage on another kind of array and ImportError without OpenCV.
    """
    return draw(image, (Mark(face.box, face.landmarks, *label(face)) for face in faces))


def draw(image: Picture, marks: Iterable[Mark]) -> Picture:
    """A copy of `image` (uint8 [height, width, 3], BGR) with `marks`, the first on top; raises as `annotate` does."""
    check_frame(image)
    cv2 = opencv()
    picture = np.ascontiguousarray(image).copy()
    known = list(marks)
    for mark in reversed(known):
        _draw_outline(cv2, picture, mark)
    tags: list[_Tag] = []
    for mark in known:
        tags.append(_place_tag(cv2, picture, mark, tags))
    for tag in reversed(tags):
        _draw_tag(cv2, picture, tag)
    return picture


def side_by_side(left: Picture, right: Picture) -> Picture:
    """Two pictures (uint8 [height, width, 3], BGR) in one, both as high as the lower one."""
    cv2 = opencv()
    height = min(left.shape[0], right.shape[0])
    sizes = [(max(1, round(each.shape[1] * height / each.shape[0])), height) for each in (left, right)]
    scaled = [cv2.resize(each, size) for each, size in zip((left, right), sizes, strict=True)]
    return np.concatenate(scaled, axis=1)


def decode(data: bytes, name: str = "image") -> Picture:
    """An image file's pixels as the server sees them: uint8 [height, width, 3], BGR, upright by EXIF, over white.

    Raises BadImage, in which `name` names the file, where it cannot be decoded, and ImportError without OpenCV.
    """
    opencv()
    from facegate_client.imaging.errors import InvalidImage
    from facegate_client.imaging.image import decode as decoded

    try:
        return decoded(data)
    except InvalidImage as error:
        raise BadImage(f"{name}: {error}") from error


def encode(picture: Picture, suffix: str) -> bytes:
    """An image file of the kind that `suffix` (".png", ".jpg") names; raises ValueError where it names none."""
    cv2 = opencv()
    try:
        written, data = cv2.imencode(suffix.lower(), picture)
    except cv2.error:
        written, data = False, None
    if not written:
        raise ValueError(f"cannot write a picture as {suffix!r}; use .png or .jpg")
    return bytes(data)


def opencv() -> Any:
    """The module cv2, imported only when something is drawn; raises ImportError naming the extra."""
    try:
        import cv2
    except ImportError as error:
        raise ImportError("drawing needs OpenCV: pip install 'facegate-client[draw]'") from error
    return cv2


def label(face: Face) -> tuple[str, Colour]:
    """What a face's label says, and its colour."""
    word, colour = liveness(face.is_real, face.antispoof_score)
    return f"{word}  face {face.score:.2f}", colour


def liveness(is_real: bool | None, antispoof_score: float | None) -> tuple[str, Colour]:
    """A liveness in words, with P(real) where it was checked, and its colour."""
    if is_real is None:
        return "not checked", NOT_CHECKED
    word, colour = ("REAL", REAL) if is_real else ("FAKE", FAKE)
    return f"{word} {antispoof_score:.2f}", colour


def _draw_outline(cv2: ModuleType, picture: Picture, mark: Mark) -> None:
    width = _line_width(picture)
    x1, y1, x2, y2 = _pixels(mark.box)
    cv2.rectangle(picture, (x1, y1), (x2, y2), mark.colour, width)
    for point in mark.landmarks:
        x, y = _pixels(point)
        cv2.circle(picture, (x, y), width + 1, _TEXT, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(picture, (x, y), width, mark.colour, cv2.FILLED, cv2.LINE_AA)


@dataclass(frozen=True, slots=True)
class _Tag:
    """A label's place, pixels; the right and the bottom edge are not included."""

    text: str
    colour: Colour
    font: float
    left: int
    top: int
    right: int
    bottom: int
    origin: tuple[int, int]  # the text's, on its baseline

    def overlaps(self, other: _Tag) -> bool:
        """Whether the two cover a pixel in common."""
        beside = self.right <= other.left or other.right <= self.left
        return not (beside or self.bottom <= other.top or other.bottom <= self.top)


def _place_tag(cv2: ModuleType, picture: Picture, mark: Mark, taken: list[_Tag]) -> _Tag:
    """Above the face, below it or further off: the first that covers no label in `taken`; always in the picture."""
    text = _ascii(mark.text)
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = _pixels(mark.box)
    pad, stroke = _line_width(picture) + 2, _text_width(picture)

    font = max(_SMALLEST_FONT, min(height, width) / _FULL_FONT_AT)
    (wide, _), _ = cv2.getTextSize(text, _FONT, font, stroke)
    room = max(_WIDEST * (x2 - x1), wide * max(_SMALLEST_FONT / font, 0.5))  # a crowd's labels are small
    room = max(1, min(room, width - 2 * pad))  # but inside the picture comes before readable
    font *= min(1.0, room / wide)
    (wide, high), below = cv2.getTextSize(text, _FONT, font, stroke)

    full = high + below + 2 * pad
    left = max(0, min(x1, width - wide - 2 * pad))
    tops = [top for top in (y1 - full, y2, y1 - 2 * full, y2 + full) if 0 <= top <= height - full]
    tops.append(max(0, min(y1, height - full)))
    tags = [
        _Tag(text, mark.colour, font, left, top, left + wide + 2 * pad, top + full, (left + pad, top + pad + high))
        for top in tops
    ]
    return next((tag for tag in tags if not any(tag.overlaps(other) for other in taken)), tags[0])


def _draw_tag(cv2: ModuleType, picture: Picture, tag: _Tag) -> None:
    cv2.rectangle(picture, (tag.left, tag.top), (tag.right - 1, tag.bottom - 1), tag.colour, cv2.FILLED)
    cv2.putText(picture, tag.text, tag.origin, _FONT, tag.font, _TEXT, _text_width(picture), cv2.LINE_AA)


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return "".join(letter if letter.isprintable() else "?" for letter in plain.encode("ascii", "replace").decode())


def _text_width(picture: Picture) -> int:
    return max(1, _line_width(picture) // 2)


def _line_width(picture: Picture) -> int:
    return max(1, round(min(picture.shape[:2]) / _LINE_EVERY))


def _pixels(values: tuple[float, ...]) -> list[int]:
    return [round(min(max(value, -_FAR), _FAR)) for value in values]
