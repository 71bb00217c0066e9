"""How right the default pack is on the labelled pictures: `python -m benchmarks.accuracy`.

Writes docs/accuracy.md. The pictures are those of FACEGATE_MIRROR/images; what each figure means is in the page.
"""

from __future__ import annotations

import csv
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from benchmarks import ROOT
from facegate.build.build import build, build_served, fetch_pack
from facegate.build.checks.parity import Parity, prove
from facegate.packs.shipped import pack_named
from facegate_client.contract import SeveralFaces
from facegate_client.imaging.image import decode
from facegate_ensemble.pipeline.detection import choose_face
from facegate_ensemble.pipeline.pipeline import Analysis, Pipeline
from facegate_ensemble.runtime.onnx.runner import OnnxInferer

Box = tuple[float, float, float, float]
MIN_SCORES = (0.4, 0.5, 0.6, 0.7, 0.8)
COUNTED = {"t1.jpg": 6, "bald_guys.jpg": 24, "dogs.jpg": 1, "selfie-many-people.jpg": 6, "couple.jpg": 2}


class Measurement:
    """The pipeline of a pack in this process, and the labelled pictures."""

    def __init__(self, pipeline: Pipeline, pictures: Path) -> None:
        self.pipeline = pipeline
        self.pictures = pictures

    def analyze(self, path: Path, **options: object) -> Analysis:
        """All that the pipeline says of one picture."""
        chosen = {"anti_spoofing": False, "embeddings": False, **options}
        return self.pipeline.analyze(decode(path.read_bytes()), **chosen)  # type: ignore[arg-type]

    def liveness(self) -> dict[str, float]:
        """P(real) of the best face of every labelled liveness picture, by file name."""
        found = {}
        for path in sorted((self.pictures / "liveness").iterdir()):
            liveness = self.analyze(path, anti_spoofing=True, max_faces=1).liveness
            assert liveness is not None
            found[path.name] = float(liveness.p_real[0])
        return found

    def pairs(self) -> list[Pair]:
        """Every labelled pair of the verification pictures with its distance."""
        folder = self.pictures / "verification"
        with (folder / "pairs.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        embeddings = {}
        for name in {row[key] for row in rows for key in ("image_1", "image_2")}:
            described = self.analyze(folder / name, embeddings=True, max_faces=1).embeddings
            assert described is not None
            embeddings[name] = described[0]
        people = _identities([(row["image_1"], row["image_2"]) for row in rows if row["same_person"] == "1"])
        return [
            Pair(
                frozenset(people.get(row[key], row[key]) for key in ("image_1", "image_2")),
                row["same_person"] == "1",
                1.0 - float(embeddings[row["image_1"]] @ embeddings[row["image_2"]]),
            )
            for row in rows
        ]

    def detection(self, min_score: float | None, overlap: float = 0.5) -> tuple[int, int, int]:
        """Labelled faces, those found at IoU >= `overlap`, and boxes beside them."""
        labelled = found = extra = 0
        for name, faces in labelled_faces(self.pictures / "detection"):
            boxes = self.analyze(self.pictures / "detection" / name, min_score=min_score).faces.boxes
            hits = matched(faces, boxes, overlap)
            labelled, found, extra = labelled + len(faces), found + hits, extra + len(boxes) - hits
        return labelled, found, extra

    def several_faces(self) -> list[Several]:
        """Every detection and verification picture in which more than one face is found."""
        found = []
        for folder in ("detection", "verification"):
            for path in sorted((self.pictures / folder).glob("*.jpg")):
                image = decode(path.read_bytes())
                faces = self.pipeline.analyze(image, anti_spoofing=False, embeddings=False).faces
                if len(faces) > 1:
                    largest = choose_face(faces, SeveralFaces.LARGEST, *image.shape[:2])
                    same = bool(np.array_equal(largest.boxes[0], faces.boxes[0]))
                    found.append(Several(path.name, len(faces), float(faces.scores[0] - faces.scores[1]), same))
        return found

    def count(self, name: str, min_score: float | None = None) -> int:
        """Faces found in a picture of the detection folder."""
        return len(self.analyze(self.pictures / "detection" / name, min_score=min_score).faces)


@dataclass(frozen=True, slots=True)
class Several:
    """A picture of several faces: how many, by how much the score of the best is above that of the second, and whether
    the best is the largest."""

    name: str
    faces: int
    lead: float
    best_is_largest: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos: the identities in them, whether they are of one person, and their cosine distance."""

    identities: frozenset[str]
    same: bool
    distance: float


def best_threshold(pairs: Iterable[Pair]) -> float:
    """The middle of the widest gap between neighbouring distances at which fewest pairs are judged wrong."""
    ordered = sorted(pairs, key=lambda pair: pair.distance)
    distances = np.array([pair.distance for pair in ordered])
    same = np.array([pair.same for pair in ordered])
    # Cutting between i and i + 1 errs on different people up to i and on one person's photos beyond.
    errors = np.cumsum(~same)[:-1] + (same.sum() - np.cumsum(same))[:-1]
    gaps = np.diff(distances)
    cut = max(np.flatnonzero(errors == errors.min()), key=lambda i: gaps[i])
    return float(distances[cut] + gaps[cut] / 2)


def leave_identities_out(pairs: Sequence[Pair]) -> int:
    """Pairs judged right, each by the threshold of the pairs that share no identity with it."""
    return sum(
        (pair.distance < best_threshold(other for other in pairs if not other.identities & pair.identities))
        == pair.same
        for pair in pairs
    )


def _identities(same: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A name for each photo's person: photos linked by "same person" have one."""
    people: dict[str, set[str]] = {}
    for a, b in same:
        merged = people.get(a, {a}) | people.get(b, {b})
        people.update(dict.fromkeys(merged, merged))
    return {photo: min(group) for photo, group in people.items()}


def is_live(name: str) -> bool:
    """Whether a liveness picture shows a live face, by its file's name."""
    return name.startswith(("true", "image_T"))


def labelled_faces(folder: Path) -> list[tuple[str, list[Box]]]:
    found = []
    for labels in ("training.xml", "testing.xml"):
        for image in ElementTree.parse(folder / labels).getroot().iter("image"):  # noqa: S314 - our own labels
            boxes = []
            for box in image.iter("box"):
                x, y, w, h = (float(box.attrib[key]) for key in ("left", "top", "width", "height"))
                boxes.append((x, y, x + w, y + h))
            found.append((image.attrib["file"], boxes))
    return found


def matched(labelled: Sequence[Sequence[float]], boxes: NDArray[np.float32], least: float) -> int:
    """Labelled faces with a box of their own at IoU >= `least`, the best overlaps matched first."""
    overlaps = sorted(
        ((iou(face, box), i, j) for i, face in enumerate(labelled) for j, box in enumerate(boxes)), reverse=True
    )
    faces: set[int] = set()
    used: set[int] = set()
    for overlap, i, j in overlaps:
        if overlap >= least and i not in faces and j not in used:
            faces.add(i)
            used.add(j)
    return len(faces)


def paragraph(text: str) -> str:
    """A line of Markdown, wrapped."""
    return textwrap.fill(text, 100, break_on_hyphens=False, break_long_words=False)


def iou(a: Sequence[float], b: NDArray[np.float32]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def measurement(pictures: Path) -> Measurement:
    """The default pack, built if need be, in this process."""
    pack = pack_named("mobileface")
    return Measurement(Pipeline(pack, OnnxInferer(build(pack, say=lambda _: None), pack.nets)), pictures)


def page(measured: Measurement, sections: Sequence[str] = ()) -> str:
    """docs/accuracy.md, with the lines of further `sections` before those on graphs."""
    from benchmarks.second_look import Looks, report  # which reads the labels by this module

    pack = measured.pipeline.pack
    assert pack.liveness is not None
    liveness, pairs = measured.liveness(), measured.pairs()
    same = sorted(pair.distance for pair in pairs if pair.same)
    different = sorted(pair.distance for pair in pairs if not pair.same)
    detections = [(score, *measured.detection(score)) for score in MIN_SCORES]
    right = leave_identities_out(pairs)
    several = measured.several_faces()
    others, leads = [each for each in several if not each.best_is_largest], [each.lead for each in several]
    threshold = best_threshold(pairs)
    kept = sum((pair.distance < pack.recognizer.threshold) == pair.same for pair in pairs)
    lines = [
        "# Accuracy of the default pack",
        "",
        "Written by `make accuracy` from the labelled pictures (README says where they lie). They are few: the",
        "figures show that the nets are fed as they should be, not how the pack does on your cameras.",
        "",
        "## Liveness",
        "",
        f"P(real) of the best face; real from {pack.liveness.min_real:g}. A name with T or true is a live face.",
        "",
        "| picture | P(real) | verdict |",
        "|---|---|---|",
        *(
            f"| {name} | {p:.4f} | {'real' if p >= pack.liveness.min_real else 'fake'} |"
            for name, p in liveness.items()
        ),
        "",
        "fake_001 is a spoof that both nets take for a face; nothing in this project hides that.",
        "",
        "## Verification",
        "",
        f"{len(pairs)} pairs, {len(same)} of one person. Distances: one person {same[0]:.3f} to {same[-1]:.3f},",
        f"different people {different[0]:.3f} to {different[-1]:.3f}.",
        "",
        f"**Leaving identities out, {right} of {len(pairs)} pairs are judged right.** Photos that the labels link as",
        "one person's are one identity. Each pair is judged by a threshold of its own, chosen on those pairs only that",
        "share no identity with it: the middle of the widest gap between neighbours at which fewest are judged wrong.",
        "",
        paragraph(
            f"On all pairs that rule gives {threshold:.3f}. The pack's threshold is {pack.recognizer.threshold:g}, "
            "chosen by the same rule when pictures were shrunk by linear interpolation alone. It judges "
            f"{kept} of {len(pairs)} pairs right."
        ),
        "",
        "## Detection",
        "",
        "Nine labelled pictures; a face is found when a box of its own overlaps it by IoU of at least 0.5.",
        "",
        "| lowest score | labelled faces | found | boxes beside them |",
        "|---|---|---|---|",
        *(f"| {score:g} | {labelled} | {found} | {extra} |" for score, labelled, found, extra in detections),
        "",
        f"The pack's lowest score is {pack.detector.min_score:g}. There: "
        + ", ".join(f"{name} {measured.count(name)} (has {there})" for name, there in COUNTED.items())
        + ".",
        "",
        "## Faces that fill the picture",
        "",
        "The largest face of each photo, cut out so that its box has a part of the picture's height or more: 480 x",
        "480 pixels around the centre of the box, the pixels at the photo's edge repeated. It is found when a box",
        "overlaps it by IoU of at least 0.5 inside the picture. One look is the detector at 640 x 640 alone; two looks",
        "are what is served ([packs.md](packs.md#the-second-look)). `python -m benchmarks.second_look` prints this for",
        "any pack.",
        "",
        *report(Looks.of(build_served(pack_named(pack.name), say=lambda _: None)), measured.pictures),
        "",
        "The crops have every size from 32 pixels to the photo's shorter side, and shapes to 1:4. They stay away from",
        "each face that is labelled or found in the whole photo, by a quarter of its box. Some of the faces that are",
        "found in them are faces that have no label; others are a dog's face, hands and arms.",
        "",
        "Measured by hand: of 542 crops that show 10 to 60 % of a face's box one look finds a face in 190, and two in",
        "83 more. Of the 25 verification photos cut as above at 1.0 of the height and turned by 90 degrees, one look",
        "finds a face in 1 to 2 and two in 18 to 23, of which 18 to 21 have the right box; upside down 11 and 25.",
        "",
        "## Which face counts",
        "",
        f"**In {len(others)} of {len(several)} pictures with several faces the face with the highest detection score",
        "is not the largest.** They are all pictures with more than one face of the folders detection and",
        f"verification. The best score is {min(leads):.4f} to {max(leads):.4f} above the second best, so a small",
        "change of the picture changes which face is the best. The parameter `several_faces` of",
        "[wire.md](wire.md#several-faces-in-an-image) selects the face.",
        "",
        "| picture | faces | best score above the second | the best is the largest |",
        "|---|---|---|---|",
        *(
            f"| {each.name} | {each.faces} | {each.lead:.4f} | {'yes' if each.best_is_largest else 'no'} |"
            for each in several
        ),
        "",
        "A spoof pasted beside a live person, with its frame visible, was called live in 13 of 28 tries when the",
        "best face counted. This was measured by hand, and no command repeats it.",
        "",
        *sections,
        "## Served graphs",
        "",
        "Largest difference over the faces of the sample pictures, proved at every build: to the published net fed by",
        "hand, and of a batch to singles. Boxes and landmarks are in detector pixels.",
        "",
        "| net | output | to the published net | batch to singles |",
        "|---|---|---|---|",
        *(f"| {p.model} | {p.output} | {p.to_original:.1e} | {p.batch_to_singles:.1e} |" for p in _parity(pack.name)),
    ]
    return "\n".join(lines) + "\n"


def _parity(name: str) -> list[Parity]:
    pack = pack_named(name)
    fetched = fetch_pack(pack)
    pictures = [path for name, path in fetched.items() if name.endswith(".jpg")]
    return prove(pack, fetched, build(pack, say=lambda _: None), pictures)


def main() -> None:
    pictures = Path(os.environ.get("FACEGATE_MIRROR", "")) / "images"
    if not pictures.is_dir():
        sys.exit("the labelled pictures are not here: set FACEGATE_MIRROR to a directory with images/")
    from benchmarks import limits, shrinking  # here, since they import this module

    measured = measurement(pictures)
    sections = [line for part in (shrinking, limits) for line in part.section(measured.pipeline, pictures)]
    (ROOT / "docs" / "accuracy.md").write_text(page(measured, sections), encoding="utf-8")
    print("docs/accuracy.md written")


if __name__ == "__main__":
    main()
