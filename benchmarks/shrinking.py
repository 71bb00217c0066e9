"""Shrinking from mip levels and by area, beside linear interpolation alone, as the published code shrinks.

`python -m benchmarks.accuracy` measures what the models answer, and writes the section into docs/accuracy.md;
`python -m benchmarks.shrinking` prints the time that both take.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

import facegate_ensemble.pipeline.pipeline
from benchmarks.accuracy import iou, is_live, matched, paragraph
from benchmarks.bench.labelled import Pair, Photo, labelled_pairs, labelled_photos
from facegate.build.checks.gate import same_faces
from facegate.cli.options import DEFAULT_PACK
from facegate.packs.shipped import pack_named
from facegate_client.imaging.image import decode
from facegate_ensemble.pack import Pack
from facegate_ensemble.pipeline.alignment import aligned_crops, similarity
from facegate_ensemble.pipeline.letterbox import letterbox
from facegate_ensemble.pipeline.liveness import context_box, context_crops
from facegate_ensemble.pipeline.pipeline import Analysis, Pipeline
from facegate_ensemble.pipeline.pyramid import Image, ImagePyramid

LONGER_SIDE = 3600
"""Pixels of an enlarged picture."""

NOISES = (0.0, 4.0, 8.0)
"""Standard deviations in grey levels of the noise that is added to an enlarged picture."""

SIZES = {"640 x 480": (480, 640), "1080p": (1080, 1920), "4K": (2160, 3840), "12 MP": (3000, 4000)}
"""Height and width in pixels."""

Points = NDArray[np.float32]


def linear_letterbox(image: Image | ImagePyramid, height: int, width: int) -> tuple[Image, float]:
    """As `letterbox`, by linear interpolation of the full image."""
    full = ImagePyramid.of(image).image
    factor = min(height / full.shape[0], width / full.shape[1])
    scaled = cv2.resize(full, None, fx=factor, fy=factor)
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: scaled.shape[0], : scaled.shape[1]] = scaled
    return canvas, factor


def linear_aligned_crops(
    image: Image | ImagePyramid, landmarks: Points, template: Points, height: int, width: int
) -> Image:
    """As `aligned_crops`, by linear interpolation of the full image."""
    full = ImagePyramid.of(image).image
    return np.stack([cv2.warpAffine(full, similarity(points, template), (width, height)) for points in landmarks])


def linear_context_crops(image: Image | ImagePyramid, boxes: Points, scale: float, height: int, width: int) -> Image:
    """As `context_crops`, by linear interpolation of the full image."""
    full = ImagePyramid.of(image).image
    parts = [context_box(box, scale, *full.shape[:2]) for box in boxes]
    return np.stack([cv2.resize(full[y1:y2, x1:x2], (width, height)) for x1, y1, x2, y2 in parts])


@contextmanager
def linear() -> Iterator[None]:
    """Let pipelines shrink by linear interpolation alone."""
    kept = letterbox, aligned_crops, context_crops
    _use(linear_letterbox, linear_aligned_crops, linear_context_crops)
    try:
        yield
    finally:
        _use(*kept)


def _use(*functions: Callable[..., object]) -> None:
    for name, function in zip(("letterbox", "aligned_crops", "context_crops"), functions, strict=True):
        setattr(facegate_ensemble.pipeline.pipeline, name, function)


def enlarged(image: Image, noise: float) -> tuple[Image, float]:
    """The image at LONGER_SIDE, cubic, with Gaussian noise of a standard deviation of `noise` grey levels, always the
    same; and the factor by which it was enlarged."""
    factor = LONGER_SIDE / max(image.shape[:2])
    large = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    if noise:
        added = np.empty(large.shape, np.int16)
        cv2.setRNGSeed(1)
        large = cv2.add(large, cv2.randn(added, np.zeros(3), np.full(3, noise)), dtype=cv2.CV_8U)
    return np.asarray(large, np.uint8), factor


class Change(NamedTuple):
    """How a picture is analyzed: at its own size where `noise` is None, else enlarged; by linear interpolation alone
    where `linear`."""

    noise: float | None
    linear: bool

    @property
    def shrunk(self) -> str:
        """The way of shrinking, in words."""
        return "linear" if self.linear else "as served"

    @property
    def size(self) -> str:
        """The picture's size and noise, in words."""
        return "own size" if self.noise is None else f"{LONGER_SIDE:,} pixels, noise {self.noise:g}"


Answers = Mapping[str, Analysis]
"""What the pipeline returns for each picture, by its name; boxes are in pixels of the picture at its own size."""

CHANGES = [Change(noise, old) for noise in (None, *NOISES) for old in (True, False)]


def answers(pipeline: Pipeline, photos: Sequence[Photo]) -> dict[Change, Answers]:
    """What the pipeline returns for all photos, changed in each way."""
    found: dict[Change, dict[str, Analysis]] = {change: {} for change in CHANGES}
    for photo in photos:
        own = decode(photo.data)
        for noise, each in groupby(CHANGES, lambda change: change.noise):
            image, factor = (own, 1.0) if noise is None else enlarged(own, noise)
            for change in each:
                with linear() if change.linear else nullcontext():
                    seen = pipeline.analyze(image, anti_spoofing=True, embeddings=True)
                boxes = seen.faces.boxes / np.float32(factor)
                found[change][photo.name] = replace(seen, faces=replace(seen.faces, boxes=boxes))
    return dict(found)


@dataclass(frozen=True, slots=True)
class Moved:
    """What has changed between two ways to analyze the same pictures, over the faces that both have: how many these
    are, the liveness verdicts that are others, the embeddings' cosine distances, and the boxes' overlaps as IoU."""

    faces: int
    verdicts: int
    distances: list[float]
    overlaps: list[float]

    @classmethod
    def between(cls, before: Answers, after: Answers) -> Moved:
        """Of all faces of all pictures."""
        verdicts, distances, overlaps = 0, [], []
        for name, old in before.items():
            new = after[name]
            assert old.embeddings is not None and new.embeddings is not None
            assert old.liveness is not None and new.liveness is not None
            for i, j in same_faces(old.faces, new.faces):
                verdicts += bool(old.liveness.is_real[i] != new.liveness.is_real[j])
                distances.append(1.0 - float(old.embeddings[i] @ new.embeddings[j]))
                overlaps.append(iou(old.faces.boxes[i].tolist(), new.faces.boxes[j]))
        return cls(len(overlaps), verdicts, distances, overlaps)


def section(pipeline: Pipeline, pictures: Path) -> list[str]:
    """The lines of docs/accuracy.md on shrinking."""
    photos, pairs = labelled_photos(pictures), labelled_pairs(pictures)
    found = answers(pipeline, photos)
    checked = sorted(path.name for path in (pictures / "liveness").iterdir())
    served, alone = found[Change(None, linear=False)], found[Change(None, linear=True)]
    moved = Moved.between(alone, served)
    lost, new = (sum(len(each.faces) for each in seen.values()) - moved.faces for seen in (alone, served))
    shifted = [distance for distance in moved.distances if distance > 1e-6]
    labelled = Moved.between({name: alone[name] for name in checked}, served)
    return [
        "## Shrinking large pictures",
        "",
        paragraph(
            "The models get small pictures. Linear interpolation alone, as the models' published code shrinks, skips "
            "pixels where it shrinks by more than 2, and noise becomes coarse. So the server shrinks from mip levels, "
            "and the crops for liveness then by area. The labelled pictures were analyzed in both ways, at their own "
            f"size and enlarged (cubic) to a longer side of {LONGER_SIDE:,} pixels with Gaussian noise."
        ),
        "",
        paragraph(
            "Live and spoof: faces of the liveness pictures called so that are labelled so. Pairs: accepted ones of "
            "one person and of different people. Faces: labelled ones found in the detection pictures. The last three "
            "columns compare all faces with the same picture at its own size, shrunk in the same way: faces with "
            "another liveness verdict, and the cosine distance between the embeddings (median, 95th percentile)."
        ),
        "",
        "| picture | shrunk | live | spoof | one person | different | faces | other verdict | distance |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {change.size} | {change.shrunk} | "
            + " | ".join(
                [
                    *_right(pipeline, seen, photos, checked, pairs),
                    *_moved(Moved.between(found[Change(None, change.linear)], seen)),
                ]
            )
            + " |"
            for change, seen in found.items()
        ),
        "",
        "P(real) of the liveness pictures:",
        "",
        "| picture | shrunk | own size | " + " | ".join(f"noise {noise:g}" for noise in NOISES) + " |",
        "|---|---|---|" + "---|" * len(NOISES),
        *(
            f"| {name} | {'linear' if old else 'as served'} | "
            + " | ".join(f"{_best(found[Change(noise, old)][name])[1]:.3f}" for noise in (None, *NOISES))
            + " |"
            for name, old in product(checked, (True, False))
        ),
        "",
        paragraph(
            f"At their own size the pictures have {moved.faces + lost} faces when shrunk linearly. As served, {lost} "
            f"of them are lost and {new} are new; boxes overlap by IoU of at least {min(moved.overlaps):.3f}. The "
            f"embeddings of {len(shifted)} faces moved, by {statistics.median(shifted):.4f} (median) and at most "
            f"{max(shifted):.3f}. {moved.verdicts} faces have another liveness verdict, {labelled.verdicts} "
            "of them in the liveness pictures."
        ),
        "",
    ]


def _right(
    pipeline: Pipeline, seen: Answers, photos: Sequence[Photo], checked: Sequence[str], pairs: Sequence[Pair]
) -> Iterator[str]:
    """What agrees with the labels, in words."""
    for live in (True, False):
        group = [_best(seen[name])[0] == live for name in checked if is_live(name) == live]
        yield f"{sum(group)} of {len(group)}"
    for same in (True, False):
        kind = [pair for pair in pairs if pair.same == same]
        threshold = pipeline.pack.recognizer.threshold
        yield f"{sum(_distance(seen[each.first], seen[each.second]) < threshold for each in kind)} of {len(kind)}"
    labelled = [(photo.boxes.tolist(), seen[photo.name].faces.boxes) for photo in photos if len(photo.boxes)]
    yield f"{sum(matched(boxes, found, 0.5) for boxes, found in labelled)} of {sum(len(each) for each, _ in labelled)}"


def _moved(moved: Moved) -> Iterator[str]:
    yield f"{moved.verdicts} of {moved.faces}"
    yield f"{np.median(moved.distances):.4f}, {np.percentile(moved.distances, 95):.3f}"


def _best(analysis: Analysis) -> tuple[bool, float]:
    """Whether the best face is called live, and its P(real)."""
    assert analysis.liveness is not None
    return bool(analysis.liveness.is_real[0]), float(analysis.liveness.p_real[0])


def _distance(first: Analysis, second: Analysis) -> float:
    """Of the best faces."""
    assert first.embeddings is not None and second.embeddings is not None
    return 1.0 - float(first.embeddings[0] @ second.embeddings[0])


def costs(pack: Pack) -> Iterator[str]:
    """Lines on the milliseconds that scaling takes: the letterbox, and with it the crops of 1 and of 24 faces."""
    cv2.setNumThreads(1)
    yield f"{'picture':10} {'what':24} {'linear':>8} {'served':>8} {'ratio':>6}"
    for name, (height, width) in SIZES.items():
        image = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
        for faces in (0, 1, 24):
            boxes = _grid(height, width, faces)

            def scale(*functions: Callable[..., object], image: Image = image, boxes: Points = boxes) -> None:
                _scale(pack, ImagePyramid(image), boxes, *functions)

            before = _milliseconds(lambda: scale(linear_letterbox, linear_aligned_crops, linear_context_crops))
            after = _milliseconds(lambda: scale(letterbox, aligned_crops, context_crops))
            what = f"letterbox, {faces} faces"
            yield f"{name:10} {what:24} {before:8.2f} {after:8.2f} {after / before:6.1f}"


def _grid(height: int, width: int, count: int) -> Points:
    """Boxes of faces side by side, a third of their cell's height."""
    columns = math.ceil(math.sqrt(count * 1.5))
    rows = math.ceil(count / max(columns, 1))
    cells = [divmod(number, columns) for number in range(count)]
    side = height / max(rows, 1) / 3
    corners = [((column + 0.4) * width / columns, (row + 0.33) * height / rows) for row, column in cells]
    return np.array([(x, y, x + side, y + side) for x, y in corners], np.float32).reshape(-1, 4)


def _scale(
    pack: Pack,
    image: ImagePyramid,
    boxes: Points,
    box: Callable[..., object],
    align: Callable[..., object],
    surround: Callable[..., object],
) -> None:
    """All that the pipeline scales, face by face, as it does."""
    template = np.array(pack.recognizer.template, np.float32)
    box(image, pack.detector.height, pack.detector.width)
    for each in boxes:
        landmarks = each[:2] + template / 112 * (each[2] - each[0])
        align(image, landmarks[None], template, pack.recognizer.height, pack.recognizer.width)
        for model in pack.liveness_nets:
            surround(image, each[None], model.crop_scale, model.height, model.width)


def _milliseconds(work: Callable[[], None]) -> float:
    """The median of repeated calls."""
    taken = []
    for _ in range(12):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[2:]) * 1e3


def main() -> None:
    pack = pack_named(DEFAULT_PACK)
    for line in costs(pack):
        print(line)


if __name__ == "__main__":
    main()
