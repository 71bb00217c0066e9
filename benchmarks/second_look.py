"""What the second look finds, what it finds wrongly and what it costs: `python -m benchmarks.second_look`.

Prints it for one pack, with the second look and without, on the pictures of FACEGATE_MIRROR/images. `make accuracy`
writes the default pack's figures into docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import labelled_faces
from facegate.build.build import Built, build_served
from facegate.build.checks.pictures import close_up
from facegate.packs.shipped import pack_named
from facegate_client import contract
from facegate_client.imaging.image import decode
from facegate_ensemble.pipeline.detection import Faces
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.pipeline.pyramid import Image
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.triton import handlers
from facegate_ensemble.triton.request import Inputs

SHARES = (0.8, 0.9, 1.0, 1.2, 1.5)
"""Heights of a face's box over the picture's."""

SIDE = 480
"""Pixels of a picture that a face fills."""

SAME = 0.5
"""IoU from which a box is the face's, both boxes cut off at the picture's edge."""

MARGIN = 0.25
"""Of a face's box at each side, that a crop without faces stays away from."""

CROPS = 200
"""Crops without a face of each photo."""

LEAST_SIDE = 32
"""Pixels of a crop without faces."""

FRAMES = ((480, 640), (1080, 1920), (3000, 4000))
"""Height and width of the frames that are timed."""

ROUNDS, BLOCK = 9, 5
"""Turns of one look and of two, and requests in a turn."""


@dataclass(frozen=True, slots=True)
class Looks:
    """The same models with one look and with two."""

    once: Pipeline
    twice: Pipeline

    @classmethod
    def of(cls, built: Built) -> Looks:
        """With the models of one repository. Raises ValueError for a pack without a second look."""
        detector = built.pack.detector
        if detector.second_look is None:
            raise ValueError(f"the pack {built.pack.name} has no second look")
        inferer = OnnxInferer(built.repository, built.pack.nets)
        first = built.pack.model_copy(update={"detector": detector.of_size(detector.height, detector.width)})
        return cls(Pipeline(first, inferer), Pipeline(built.pack, inferer))

    def both(self, image: Image) -> tuple[Faces, Faces]:
        """The faces that one look finds, and two: the same where the first finds any."""
        first = faces_of(self.once, image)
        return first, first if len(first) else faces_of(self.twice, image)


def faces_of(pipeline: Pipeline, image: Image) -> Faces:
    """All faces that a pipeline finds, without describing them."""
    return pipeline.analyze(image, anti_spoofing=False, embeddings=False).faces


@dataclass(frozen=True, slots=True)
class Filling:
    """Pictures of SIDE x SIDE pixels whose one face has `share` of their height: how many there are, and in how many
    its box is found by one look and by two."""

    share: float
    pictures: int
    once: int
    twice: int


def filling(looks: Looks, photos: Iterable[Path]) -> list[Filling]:
    """One Filling for each of SHARES, of the largest face in each photo that shows one."""
    counts = {share: np.zeros(3, dtype=int) for share in SHARES}
    for photo in photos:
        image = decode(photo.read_bytes())
        boxes = faces_of(looks.twice, image).boxes
        if not len(boxes):
            continue
        size = boxes[:, 2:] - boxes[:, :2]
        largest = int(np.prod(size, axis=1).argmax())
        for share in SHARES:
            shown = cut_to_fill(image, boxes[largest], share)
            height = share * SIDE
            half = np.array([height * size[largest, 0] / size[largest, 1], height]) / 2
            face = np.concatenate([SIDE / 2 - half, SIDE / 2 + half])
            counts[share] += [1, *(_is_found(face, found) for found in looks.both(shown))]
    return [Filling(share, *map(int, each)) for share, each in counts.items()]


def cut_to_fill(image: Image, box: NDArray[np.float32], share: float) -> Image:
    """UINT8 [SIDE, SIDE, 3]: the picture around the centre of `box` of whose height the box has `share`."""
    cut = close_up(image, box, share)
    smaller = cut.shape[0] > SIDE
    return cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)  # type: ignore[return-value]


def _is_found(face: NDArray[np.float64], found: Faces) -> bool:
    """Whether a found box overlaps the face's, as far as the picture shows them."""
    boxes, face = np.clip(found.boxes, 0, SIDE), np.clip(face, 0, SIDE)
    shared = np.clip(np.minimum(boxes[:, 2:], face[2:]) - np.maximum(boxes[:, :2], face[:2]), 0, None).prod(axis=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (face[2:] - face[:2]).prod() - shared
    return bool((shared >= SAME * union).any())


def portraits(looks: Looks, folder: Path) -> tuple[int, int, int]:
    """How many portraits (*.pgm) there are below a folder, and in how many one look and two find a face."""
    found = [[len(each) > 0 for each in looks.both(_grey(path))] for path in sorted(folder.rglob("*.pgm"))]
    once, twice = np.sum(found, axis=0)
    return len(found), int(once), int(twice)


def _grey(path: Path) -> Image:
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Wrong:
    """Crops without a face: how many there are, in how many the first look finds one, and in how many more the second
    does."""

    crops: int
    once: int
    gained: int


def wrong(looks: Looks, folder: Path, each: int) -> Wrong:
    """Of `each` crops of every photo in the folder of the detection pictures."""
    labels = dict(labelled_faces(folder))
    crops = once = gained = 0
    for photo in sorted(folder.glob("*.jpg")):
        image = decode(photo.read_bytes())
        faces = np.concatenate([np.reshape(labels.get(photo.name, []), (-1, 4)), faces_of(looks.once, image).boxes])
        for crop in crops_without(image, faces, each):
            first, second = looks.both(crop)
            crops, once, gained = crops + 1, once + bool(len(first)), gained + (not len(first) and bool(len(second)))
    return Wrong(crops, once, gained)


def crops_without(image: Image, boxes: NDArray[np.float64], count: int) -> Iterator[Image]:
    """Up to `count` crops of any place, size and shape, from LEAST_SIDE to the picture's shorter side and to 1:4, that
    touch none of the faces in `boxes` [N, 4], nor MARGIN around them. The same ones each time."""
    random = np.random.default_rng(0)
    grown = boxes + MARGIN * np.concatenate([boxes[:, :2] - boxes[:, 2:], boxes[:, 2:] - boxes[:, :2]], axis=1)
    height, width = image.shape[:2]
    left = count
    for _ in range(100 * count):
        side, shape = np.exp(random.uniform(np.log([LEAST_SIDE, 0.5]), np.log([min(height, width), 2.0])))
        size = np.array([side / shape, side * shape]).astype(int)
        if left == 0 or (size > [width, height]).any():
            continue
        corner = random.integers(0, np.array([width, height]) - size + 1)
        if ((grown[:, :2] < corner + size) & (grown[:, 2:] > corner)).all(axis=1).any():
            continue
        left -= 1
        yield image[corner[1] : corner[1] + size[1], corner[0] : corner[0] + size[0]]


@dataclass(frozen=True, slots=True)
class Cost:
    """A picture of `height` x `width`: the milliseconds that one look takes, and the median of the ratios of two looks'
    time to that."""

    height: int
    width: int
    picture: str
    once_ms: float
    ratio: float


def costs(looks: Looks, pictures: Path, rounds: int = ROUNDS) -> Iterator[Cost]:
    """Of face_analyze without embeddings in this process, for a raw frame and a JPEG of each size, without a face and
    with one. One look and two take turns in `rounds` rounds."""
    empty = decode((pictures / "detection" / "dogs.jpg").read_bytes())[:500, :500]  # a dog's back
    face = decode((pictures / "liveness" / "image_T1.jpg").read_bytes())
    cv2.setNumThreads(1)  # as in the server, where a request stays on one core
    for height, width in FRAMES:
        for shown, image in (("no face", empty), ("a face", face)):
            scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            encoded = cv2.imencode(".jpg", scaled)[1].tobytes()
            raw = {contract.FRAME: scaled.ravel(), contract.FRAME_SHAPE: np.array(scaled.shape[:2], np.int32)}
            for kind, inputs in (("frame", raw), ("JPEG", {contract.IMAGE: np.array([encoded], dtype=object)})):
                yield _cost(looks, f"{kind}, {shown}", height, width, inputs, rounds)


def _cost(looks: Looks, picture: str, height: int, width: int, inputs: Inputs, rounds: int) -> Cost:
    times = []
    for number in range(rounds + 1):
        turns = [looks.once, looks.twice] if number % 2 else [looks.twice, looks.once]
        seconds = {id(each): _seconds(each, inputs) for each in turns}
        times.append((seconds[id(looks.once)], seconds[id(looks.twice)]))
    once = statistics.median(one for one, _ in times[1:])
    return Cost(height, width, picture, once * 1e3, statistics.median(two / one for one, two in times[1:]))


def _seconds(pipeline: Pipeline, inputs: Inputs) -> float:
    """The median of BLOCK requests in a row, since a server has one look or two for all of them."""
    times = []
    for _ in range(BLOCK):
        begun = time.perf_counter()
        handlers.analyze(pipeline, inputs, '{"embeddings": false}')
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def report(looks: Looks, pictures: Path, crops: int = CROPS) -> list[str]:
    """The figures as Markdown, but for what it costs."""
    verification = filling(looks, sorted((pictures / "verification").glob("*.jpg")))
    others = filling(looks, [*_photos(pictures / "detection"), *_photos(pictures / "liveness")])
    people, once, twice = portraits(looks, pictures / "att_faces")
    free = wrong(looks, pictures / "detection", crops)
    return [
        f"| face's height over the picture's | {verification[0].pictures} photos of verification: one look, two | "
        f"{others[0].pictures} other photos: one look, two |",
        "|---|---|---|",
        *(
            f"| {a.share:g} | {a.once}, **{a.twice}** | {b.once}, **{b.twice}** |"
            for a, b in zip(verification, others, strict=True)
        ),
        "",
        f"Of {people} portraits of att_faces, 92 x 112 pixels, one look finds a face in {once}, two in **{twice}**.",
        "",
        f"Of {free.crops} crops of the detection photos without a face, one look finds a face in {free.once}, and two",
        f"in **{free.gained} more ({100 * free.gained / free.crops:.2f} %)**.",
    ]


def cost_report(measured: Iterable[Cost]) -> list[str]:
    """The costs as Markdown."""
    return [
        "| picture | one look, ms | two looks over one |",
        "|---|---|---|",
        *(f"| {c.picture}, {c.width}x{c.height} | {c.once_ms:.1f} | {c.ratio:.2f} |" for c in measured),
    ]


def _photos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", default="mobileface", help="a pack's name, or the path of its .toml")
    parser.add_argument("--crops", type=int, default=CROPS, help="crops without a face of each photo")
    options = parser.parse_args()
    pictures = Path(os.environ.get("FACEGATE_MIRROR", "")) / "images"
    if not pictures.is_dir():
        sys.exit("the labelled pictures are not here: set FACEGATE_MIRROR to a directory with images/")
    looks = Looks.of(build_served(pack_named(options.pack), accept_license=True, say=lambda _: None))
    print(*report(looks, pictures, options.crops), "", sep="\n")
    print(*cost_report(costs(looks, pictures)), sep="\n")


if __name__ == "__main__":
    main()
