"""The precision gate: what was built answers what the fp32 graphs answer, and no verdict is another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facegate.build.checks.pictures import Image, Pictures, crops_of
from facegate_client import contract
from facegate_ensemble.pack import DETECTOR, RECOGNIZER, LivenessNet, Pack
from facegate_ensemble.pipeline.detection import Faces, select_faces
from facegate_ensemble.pipeline.liveness import fuse
from facegate_ensemble.pipeline.pipeline import Analysis, Pipeline
from facegate_ensemble.runtime.runner import Inferer, infer_in_chunks

SAME_FACE = 0.5
"""Two boxes that overlap by more (IoU) are of one face."""

TIE = 0.001
"""Two candidates of the same face whose scores are closer: which of them is best is chance. YuNet has neighbours
0.00006 apart and 5.5 pixels from each other, which the order of a sum can swap."""

PIXELS, COSINE, P_REAL = "pixels", "1 - cosine", "P(real)"

LIMITS = {PIXELS: 1.0, COSINE: 0.001, P_REAL: 0.02}
"""The largest difference allowed: of boxes and landmarks in detector pixels, of an embedding as 1 - cosine, of a
liveness net's P(real)."""


class Figure(NamedTuple):
    """The largest difference of one net to fp32 in `unit`. As a bool: whether it is within its limit."""

    model: str
    unit: str
    worst: float
    limit: float

    def __bool__(self) -> bool:
        return bool(self.worst <= self.limit)  # NaN is not

    def __str__(self) -> str:
        return f"{self.model}: {self.unit} differs by {self.worst:.2g}, allowed {self.limit:g}"


class Flip(NamedTuple):
    """A verdict that is another one than in fp32, and the nets that can be the reason."""

    models: tuple[str, ...]
    what: str

    def __str__(self) -> str:
        return f"{' and '.join(self.models)}: {self.what}"


@dataclass(frozen=True, slots=True)
class Gate:
    """What was found on `pictures`: their `faces` and the `pairs` of pictures whose best faces were compared.
    `unjudged` are verdicts that none of them has, and whose flips would not have been seen.

    As a bool: whether every net may be installed.
    """

    figures: tuple[Figure, ...]
    flips: tuple[Flip, ...]
    pictures: int
    faces: int
    pairs: int
    unjudged: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.faces) and all(self.figures) and not self.flips

    @property
    def failed(self) -> set[str]:
        """The nets that must not be installed."""
        beyond = {figure.model for figure in self.figures if not figure}
        return beyond.union(*(flip.models for flip in self.flips))

    def worst(self, model: str) -> Figure:
        """The figure of one net."""
        return next(figure for figure in self.figures if figure.model == model)


class Judged(NamedTuple):
    """One picture: the analyses of it, and the detector that can be the reason where their faces differ."""

    name: str
    expected: Analysis
    found: Analysis
    detector: str

    @property
    def same_best(self) -> bool:
        """Whether the best face is the same one in both."""
        return (0, 0) in same_faces(self.expected.faces, self.found.faces)


def judge(pack: Pack, expected: Inferer, found: Inferer, pictures: Pictures) -> Gate:
    """Hold the nets behind `found` against those behind `expected`, on the same pictures: each net on the same input,
    and the whole pipeline. A net that is not served by `expected` is left out."""
    worst: dict[str, float] = {model: 0.0 for model in pack.nets if expected.serves(model)}
    live = [net for net in pack.liveness_nets if expected.serves(net.name)]
    checked = bool(live) and len(live) == len(pack.liveness_nets)
    every: list[Judged] = []
    flips: list[Flip] = []
    for name, image in pictures.images():
        analyses = [
            Pipeline(pack, inferer).analyze(image, anti_spoofing=checked, embeddings=True)
            for inferer in (expected, found)
        ]
        looks = list(_looks(pack, expected, found, image, analyses[0].faces))
        for look in looks:
            worst[look.model] = _worse(worst[look.model], look.pixels)
            if look.lost:
                shown = name if look.model == DETECTOR else f"{name}, its best face filling the picture"
                flips.append(Flip((look.model,), f"{shown}: {look.lost}"))
        # Where neither first look finds a face, what differs is the second's.
        judged = Judged(name, analyses[0], analyses[1], DETECTOR if looks[0].faces else [*pack.detectors][-1])
        every.append(judged)
        worst[RECOGNIZER] = _worse(worst[RECOGNIZER], _turn(pack, expected, found, image, judged))
        leant = _lean(pack, expected, found, image, judged, live)
        worst |= {net.name: _worse(worst[net.name], leant.differences[net.name]) for net in live}
        flips += _flips_of_faces(judged, live, leant.flipped)
    pairs = list(combinations([each for each in every if len(each.expected.faces) and len(each.found.faces)], 2))
    flips += _flips_of_pairs(pack, pairs)
    units = {**dict.fromkeys(pack.detectors, PIXELS), RECOGNIZER: COSINE}
    figures = (
        Figure(model, units.get(model, P_REAL), value, LIMITS[units.get(model, P_REAL)])
        for model, value in worst.items()
    )
    faces = sum(len(each.expected.faces) for each in every)
    unjudged = tuple(_unjudged(pack, every, pairs, checked))
    return Gate(tuple(figures), tuple(flips), len(every), faces, len(pairs), unjudged)


def _turn(pack: Pack, expected: Inferer, found: Inferer, image: Image, judged: Judged) -> float:
    """The largest 1 - cosine of an expected face's two embeddings."""
    crops = crops_of(pack, RECOGNIZER, image, judged.expected.faces)
    if not len(crops):
        return 0.0
    a, b = _both(expected, found, RECOGNIZER, crops, contract.EMBEDDINGS)
    return float(np.max(1.0 - (a * b).sum(axis=1)))


class Leant(NamedTuple):
    """The largest difference of P(real) by net, and the faces whose verdict flips, on the expected faces' crops."""

    differences: dict[str, float]
    flipped: frozenset[int]


def _lean(
    pack: Pack, expected: Inferer, found: Inferer, image: Image, judged: Judged, live: Sequence[LivenessNet]
) -> Leant:
    faces = judged.expected.faces
    if pack.liveness is None or not live or not len(faces):
        return Leant({net.name: 0.0 for net in live}, frozenset())
    real, answers = pack.liveness.real_class, {}
    for net in live:
        crops = crops_of(pack, net.name, image, faces)
        answers[net.name] = _both(expected, found, net.name, crops, contract.PROBABILITIES)
    differences = {name: float(np.abs(a[:, real] - b[:, real]).max()) for name, (a, b) in answers.items()}
    before, after = (fuse([pair[side] for pair in answers.values()], pack.liveness).is_real for side in (0, 1))
    return Leant(differences, frozenset(np.flatnonzero(before != after).tolist()))


def _both(
    expected: Inferer, found: Inferer, model: str, crops: NDArray[np.uint8], output: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    (a,) = infer_in_chunks(expected, model, crops, (output,))
    (b,) = infer_in_chunks(found, model, crops, (output,))
    return a, b


def _seen(pack: Pack, model: str, inferer: Inferer, image: Image, faces: Faces) -> list[tuple[Faces, Faces]]:
    """For each input that a detector is given for a picture and its `faces`: the candidates that it answers, and the
    faces among them, both in its own pixels."""
    net, seen = pack.detectors[model], []
    crops = crops_of(pack, model, image, faces)
    if not len(crops):
        return []
    for boxes, scores, landmarks in zip(*infer_in_chunks(inferer, model, crops, net.output_names), strict=True):
        selected = select_faces(
            boxes,
            scores,
            landmarks,
            factor=1.0,
            min_score=net.min_score,
            nms_iou=net.nms_iou,
            max_faces=contract.DEFAULT_MAX_FACES,
        )
        seen.append((Faces(boxes, scores, landmarks), selected))
    return seen


class Look(NamedTuple):
    """One input of a detector. `pixels`: how far a face found in both is at most from the nearest of the expected
    candidates that is as good as the expected face, in the detector's pixels. `lost`: which faces are not found in
    both, in words, or "". `faces`: how many were found in either.
    """

    model: str
    pixels: float
    lost: str
    faces: int


def _looks(pack: Pack, expected: Inferer, found: Inferer, image: Image, faces: Faces) -> Iterator[Look]:
    """What the detectors make of a picture and its expected `faces`, that of the first look first."""
    for model in pack.detectors:
        seen = [_seen(pack, model, inferer, image, faces) for inferer in (expected, found)]
        for (candidates, a), (_, b) in zip(*seen, strict=True):
            same, apart = same_faces(a, b), [0.0]
            for i, j in same:
                equals = candidates.take(np.flatnonzero(candidates.scores >= a.scores[i] - TIE))
                boxes = np.abs(equals.boxes - b.boxes[j]).max(axis=1)
                points = np.abs(equals.landmarks - b.landmarks[j]).max(axis=(1, 2))
                apart.append(float(np.maximum(boxes, points).min()))
            yield Look(model, _worse(*apart), _lost(a, b, len(same)), len(a) + len(b))


def _lost(a: Faces, b: Faces, same: int) -> str:
    """Which of the expected faces `a` and of the found ones `b` are not among the `same` ones, in words, or ""."""
    lost, new = len(a) - same, len(b) - same
    return f"of {len(a)} faces {lost} not found, and {new} others" if lost or new else ""


def _flips_of_faces(judged: Judged, live: Sequence[LivenessNet], leant: frozenset[int]) -> list[Flip]:
    """Faces lost or new, and verdicts on liveness: the liveness nets' where they flip on the same crops (`leant`), else
    the detector's, which has moved the crop."""
    a, b = judged.expected, judged.found
    same = same_faces(a.faces, b.faces)
    nets = tuple(net.name for net in live)
    flips = [Flip(nets, f"{judged.name}: face {i + 1}: another verdict on the same crops") for i in sorted(leant)]
    lost = _lost(a.faces, b.faces, len(same))
    if lost and judged.detector != DETECTOR:
        flips.append(Flip((judged.detector,), f"{judged.name}: {lost}"))
    if a.liveness is not None and b.liveness is not None:
        for i, j in same:
            if a.liveness.is_real[i] != b.liveness.is_real[j]:
                change = f"P(real) {a.liveness.p_real[i]:.3f} became {b.liveness.p_real[j]:.3f}"
                flips.append(Flip(nets if i in leant else (judged.detector,), f"{judged.name}: face {i + 1}: {change}"))
    return flips


def _flips_of_pairs(pack: Pack, pairs: Sequence[tuple[Judged, Judged]]) -> list[Flip]:
    flips = []
    for one, other in pairs:
        a, b = _distance(one.expected, other.expected), _distance(one.found, other.found)
        if (a < pack.recognizer.threshold) != (b < pack.recognizer.threshold):
            moved = {each.detector for each in (one, other) if not each.same_best}
            cause = tuple(sorted(moved)) or (RECOGNIZER,)
            flips.append(Flip(cause, f"{one.name} and {other.name}: distance {a:.4f} became {b:.4f}"))
    return flips


def _unjudged(
    pack: Pack, every: Sequence[Judged], pairs: Sequence[tuple[Judged, Judged]], checked: bool
) -> Iterable[str]:
    """Verdicts that the pictures have none of."""
    distances = [_distance(one.expected, other.expected) for one, other in pairs]
    if not any(distance < pack.recognizer.threshold for distance in distances):
        yield "two pictures of one person"
    if not any(distance >= pack.recognizer.threshold for distance in distances):
        yield "pictures of two people"
    if checked:
        real = [verdict for each in every if each.expected.liveness for verdict in each.expected.liveness.is_real]
        if not any(real):
            yield "a live face"
        if all(real):
            yield "a fake face"


def _distance(one: Analysis, other: Analysis) -> float:
    """The cosine distance of two pictures' best faces."""
    assert one.embeddings is not None and other.embeddings is not None  # noqa: S101 - asked for
    return 1.0 - float(one.embeddings[0] @ other.embeddings[0])


def same_faces(a: Faces, b: Faces) -> list[tuple[int, int]]:
    """Indices of the faces that both have, each at most once, the largest overlaps first."""
    overlaps = sorted(((_iou(p, q), i, j) for i, p in enumerate(a.boxes) for j, q in enumerate(b.boxes)), reverse=True)
    pairs: dict[int, int] = {}
    for overlap, i, j in overlaps:
        if overlap > SAME_FACE and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return sorted(pairs.items())


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    shared = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def _worse(*values: float) -> float:
    return float(np.max(values))  # unlike max(), NaN wins
