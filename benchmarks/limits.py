"""Where the default pack's models fail: close-ups, grey pictures, and pictures on their side.

`python -m benchmarks.accuracy` writes the section into docs/accuracy.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from benchmarks.accuracy import is_live, paragraph
from facegate.build.checks.gate import same_faces
from facegate_client.imaging.image import decode
from facegate_ensemble.pipeline.detection import Faces
from facegate_ensemble.pipeline.pipeline import Analysis, Pipeline
from facegate_ensemble.pipeline.pyramid import Image

MARGINS = (0.0, 0.1, 0.25, 0.5, 0.6, 0.75, 1.0)
"""Of a close-up, on each side of the face's box, in widths of the box."""


@dataclass(frozen=True, slots=True)
class Person:
    """A picture and its analysis by the pipeline."""

    image: Image
    seen: Analysis

    @property
    def face(self) -> Faces:
        """The best face alone."""
        return self.seen.faces.take(slice(0, 1))


def people(pipeline: Pipeline, folder: Path) -> dict[str, Person]:
    """The pictures of a folder by name."""
    images = {path.name: decode(path.read_bytes()) for path in sorted(folder.iterdir()) if path.suffix != ".csv"}
    return {
        name: Person(image, pipeline.analyze(image, anti_spoofing=True, embeddings=True))
        for name, image in images.items()
    }


def close_up(person: Person, margin: float) -> tuple[Image, Faces]:
    """The picture cut to the face's box and `margin` widths of it on each side, as far as the picture reaches."""
    height, width = person.image.shape[:2]
    x1, y1, x2, y2 = person.face.boxes[0].tolist()
    around = margin * (x2 - x1)
    left, top = max(0, int(x1 - around)), max(0, int(y1 - around))
    part = person.image[top : min(height, int(y2 + around)), left : min(width, int(x2 + around))]
    return part, _moved(person.face, left, top)


def grey(person: Person) -> tuple[Image, Faces]:
    """The picture without colour."""
    luminance = cv2.cvtColor(person.image, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.cvtColor(luminance, cv2.COLOR_GRAY2BGR), np.uint8), person.face


def _moved(faces: Faces, left: float, top: float) -> Faces:
    shift = np.array([left, top], np.float32)
    return Faces(faces.boxes - np.tile(shift, 2), faces.scores, faces.landmarks - shift)


def _called_live(pipeline: Pipeline, group: list[Person], change: Callable[[Person], tuple[Image, Faces]]) -> str:
    """How many of a group, in words. The face is given, so that it is the same one in every picture."""
    live = 0
    for person in group:
        image, faces = change(person)
        liveness = pipeline.analyze(image, anti_spoofing=True, embeddings=False, faces=faces).liveness
        assert liveness is not None
        live += bool(liveness.is_real[0])
    return f"{live} of {len(group)}"


@dataclass(frozen=True, slots=True)
class OnTheirSide:
    """Pictures turned by 90 degrees: those without a face, those where the best face's box is a face's, and the
    distances of its embedding from the upright face's."""

    pictures: int
    none: int
    found: int
    distances: list[float]


def on_their_side(pipeline: Pipeline, group: list[Person]) -> OnTheirSide:
    """Every picture turned both ways."""
    none = found = 0
    distances = []
    for person in group:
        assert person.seen.embeddings is not None
        for turn in (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE):
            image = np.asarray(cv2.rotate(person.image, turn), np.uint8)
            turned = pipeline.analyze(image, anti_spoofing=False, embeddings=True, max_faces=1)
            assert turned.embeddings is not None
            none += not len(turned.faces)
            found += bool(same_faces(_turned(person, turn), turned.faces))
            distances += [1.0 - float(each @ person.seen.embeddings[0]) for each in turned.embeddings]
    return OnTheirSide(2 * len(group), none, found, sorted(distances))


def _turned(person: Person, turn: int) -> Faces:
    """The boxes of all faces where they are in the turned picture."""
    height, width = person.image.shape[:2]
    x1, y1, x2, y2 = person.seen.faces.boxes.T
    clockwise = turn == cv2.ROTATE_90_CLOCKWISE
    edges = (height - y2, x1, height - y1, x2) if clockwise else (y1, width - x2, y2, width - x1)
    return Faces(np.stack(edges, axis=1), person.seen.faces.scores, person.seen.faces.landmarks)


def section(pipeline: Pipeline, pictures: Path) -> list[str]:
    """The lines of docs/accuracy.md on limits."""
    checked, photos = (people(pipeline, pictures / folder) for folder in ("liveness", "verification"))
    live = [person for name, person in checked.items() if is_live(name)]
    spoofs = [person for name, person in checked.items() if not is_live(name)]
    taken = [each for each in photos.values() if each.seen.liveness is not None and each.seen.liveness.is_real[0]]
    groups = live, taken, spoofs
    turned = on_their_side(pipeline, [*checked.values(), *photos.values()])
    limit = pipeline.pack.recognizer.threshold
    changes: dict[str, Callable[[Person], tuple[Image, Faces]]] = {
        "whole": lambda person: (person.image, person.face),
        **{f"margin {margin:g}": partial(close_up, margin=margin) for margin in MARGINS},
        "whole, grey": grey,
    }
    return [
        "## Limits of the models",
        "",
        paragraph(
            "Faces called live: of the live faces and the spoofs of the liveness pictures, and of the "
            f"{len(taken)} verification photos whose face is called live in the whole photo. A margin is what the "
            "picture shows on each side of the face's box, in widths of the box, as far as the photo reaches. The face "
            "is given (`FACES_IN`), not detected."
        ),
        "",
        "| picture | live faces | verification photos | spoofs |",
        "|---|---|---|---|",
        *(
            f"| {what} | " + " | ".join(_called_live(pipeline, group, change) for group in groups) + " |"
            for what, change in changes.items()
        ),
        "",
        paragraph(
            "**A face that fills the picture is often called a spoof.** The liveness models look at up to four times "
            "the face's box. Leave at least half the face's width free around it, better its whole width."
        ),
        "",
        paragraph(
            "**A live face without colour is called a spoof.** Infrared cameras send such pictures, and many cameras "
            "do at night. Check liveness with a colour camera and enough light. Verification without liveness works."
        ),
        "",
        paragraph(
            f"**A face that lies on its side is not recognized.** The {turned.pictures // 2} pictures were turned by "
            f"90 degrees in both directions, without EXIF. {turned.none} of {turned.pictures} then show no face. In "
            f"{turned.found} the best box is on a face, but its landmarks are wrong: the distance to the upright face "
            f"is {turned.distances[0]:.2f} to {turned.distances[-1]:.2f}, {median(turned.distances):.2f} in the "
            f"median, and {sum(each < limit for each in turned.distances)} are under the threshold of {limit:g}. Send "
            "pictures upright or with an EXIF orientation; a camera that hangs sideways gets `#rotate=90` or "
            "`#rotate=270` ([camera.md](camera.md))."
        ),
        "",
    ]
