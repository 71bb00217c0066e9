"""What the served nets are asked, and what the CPU in fp32 answers to exactly that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate.build.checks.gate import COSINE, P_REAL, PIXELS
from facegate.build.checks.pictures import Pictures, fed
from facegate_client import contract
from facegate_ensemble.pack import RECOGNIZER, Pack
from facegate_ensemble.runtime.runner import Arrays, Inferer, infer_in_chunks

DIFFERENT = 24
"""Inputs of each net."""

TO_CHOOSE_FROM = 64
"""Inputs and their variations, at most, of which those are chosen whose answers are farthest apart."""

SWAPS = 3000
"""Of two inputs in their order, tried for one whose neighbours' answers are far apart."""

NEARLY = 0.1
"""A candidate of the detector is looked for among those that score so much less: rounding moves scores too."""

Difference = Callable[[Arrays, Arrays], float]
"""Of the expected and the received answers of a row, in the model's unit of facegate.build.checks.gate; may be NaN."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One net: `inputs`, UINT8 [N, H, W, 3], all different, in an order in which an answer to the input before is told
    from the right one; what is `expected` of each; and how answers differ, in `unit`."""

    inputs: NDArray[np.uint8]
    expected: tuple[Arrays, ...]
    unit: str
    difference: Difference

    @property
    def to_next(self) -> list[float]:
        """How far each answer is from the next one."""
        return [self.difference(a, b) for a, b in zip(self.expected, self.expected[1:], strict=False)]


def asked_of(pack: Pack, inferer: Inferer, pictures: Pictures) -> dict[str, Asked]:
    """What each net that `inferer`, the CPU's, serves is asked: `pictures` and their faces, shifted and mirrored too
    where they are few. Raises EngineError where none of them shows a face."""
    spread = pictures.files[:: -(-len(pictures.files) // TO_CHOOSE_FROM)]
    crops = fed(pack, inferer, Pictures(spread).images())
    return {net: _asked(pack, inferer, net, each) for net, each in crops.items()}


def _asked(pack: Pack, inferer: Inferer, net: str, crops: NDArray[np.uint8]) -> Asked:
    pool = _varied(crops[:: -(-len(crops) // TO_CHOOSE_FROM)])
    names = pack.nets[net].output_names
    answers = infer_in_chunks(inferer, net, pool, names)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*answers, strict=True)]
    unit, difference = _measure(pack, net)
    chosen = _far_apart(rows, difference)
    return Asked(pool[chosen], tuple(rows[i] for i in chosen), unit, difference)


def _varied(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """TO_CHOOSE_FROM inputs, no two of them equal; fewer only of pictures that a shift does not change."""
    step, shift, pool = crops.shape[2] // 10 + 1, 0, crops
    while len(pool) < TO_CHOOSE_FROM:
        shift += step
        shifted = np.roll(crops, shift, axis=2)
        pool = np.concatenate([pool, shifted, shifted[:, :, ::-1]])
    different = {crop.tobytes(): number for number, crop in enumerate(pool)}
    return pool[sorted(different.values())[:TO_CHOOSE_FROM]]


def _far_apart(rows: list[Arrays], difference: Difference) -> list[int]:
    """DIFFERENT rows, each chosen as the farthest from those before it, then put in an order whose neighbours are far
    apart too."""
    chosen = [0]
    nearest = np.full(len(rows), np.inf)
    while len(chosen) < min(DIFFERENT, len(rows)):
        nearest = np.minimum(nearest, [difference(rows[chosen[-1]], row) for row in rows])
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
    apart = np.array([[difference(rows[i], rows[j]) for j in chosen] for i in chosen])
    random = np.random.default_rng(0)
    order = random.permutation(len(chosen))
    for one, other in random.integers(0, len(chosen), (SWAPS, 2)):
        swapped = order.copy()
        swapped[[one, other]] = order[[other, one]]
        if apart[swapped[:-1], swapped[1:]].min() >= apart[order[:-1], order[1:]].min():
            order = swapped
    return [chosen[i] for i in order]


def _measure(pack: Pack, net: str) -> tuple[str, Difference]:
    """The unit of a net's differences, and what finds them."""
    if net in pack.detectors:
        least = pack.detector.min_score
        return PIXELS, lambda a, b: float(np.max([_pixels(a, b, least), _pixels(b, a, least)]))
    if net == RECOGNIZER:
        return COSINE, lambda a, b: abs(1.0 - float(a[contract.EMBEDDINGS] @ b[contract.EMBEDDINGS]))
    assert pack.liveness is not None
    real = pack.liveness.real_class
    return P_REAL, lambda a, b: abs(float(a[contract.PROBABILITIES][real]) - float(b[contract.PROBABILITIES][real]))


def _pixels(a: dict[str, NDArray[Any]], b: dict[str, NDArray[Any]], least: float) -> float:
    """How far the candidates of `a` that score at least `least` are from the nearest of `b`, landmarks too, in detector
    pixels; infinite where there is none."""
    if np.isnan([a[contract.SCORES], b[contract.SCORES]]).any():
        return float("nan")
    rows, others = a[contract.SCORES] >= least, b[contract.SCORES] >= least - NEARLY
    if not rows.any():
        return 0.0
    if not others.any():
        return float("inf")
    boxes = np.abs(a[contract.BOXES][rows][:, None] - b[contract.BOXES][others][None]).max(axis=2)
    points = np.abs(a[contract.LANDMARKS][rows][:, None] - b[contract.LANDMARKS][others][None]).max(axis=(2, 3))
    return float(np.maximum(boxes, points).min(axis=1).max())
