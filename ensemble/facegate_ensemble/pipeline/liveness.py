"""Liveness: context crops for the MiniFASNets, and their fused verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate_ensemble.pack import Liveness as FusionRule
from facegate_ensemble.pipeline.pyramid import Image, ImagePyramid, stretched


@dataclass(frozen=True, slots=True)
class Liveness:
    """is_real BOOL [N] and p_real FP32 [N] = P(real), of N faces that were checked."""

    is_real: NDArray[np.bool_]
    p_real: NDArray[np.float32]


def context_crops(
    image: Image | ImagePyramid, boxes: NDArray[np.float32], scale: float, height: int, width: int
) -> NDArray[np.uint8]:
    """UINT8 [N, height, width, 3]: each box of `boxes` [N, 4] (x1 y1 x2 y2) with its surroundings.

    The crop is the box grown `scale` times about its centre, or by as much less as makes it no larger than the image
    [H, W, 3], and what then still lies outside is cut off (as yakhyo/face-anti-spoofing, the source of the weights,
    feeds them). Shifting the crop inside instead, as minivision's own code does, tells spoofs apart less well: P(real)
    of the sample image_F1 is then 0.20, not 0.10.

    Linear where this shrinks by less than 2; else linear to whole multiples of the crop's sides, and then by area. The
    models judge sharpness: when a picture is enlarged, with or without noise, P(real) moves by 0.006 to 0.014 in the
    mean of 34 faces, and by 0.03 to 0.035 with crops made like the other models', by linear interpolation of a mip
    level that is left to shrink by less than 2.
    """
    pyramid = ImagePyramid.of(image)
    crops = np.empty((len(boxes), height, width, 3), dtype=np.uint8)
    for crop, box in zip(crops, boxes, strict=True):
        x1, y1, x2, y2 = context_box(box, scale, *pyramid.image.shape[:2])
        level, n = pyramid.level(2 * max(width / (x2 - x1), height / (y2 - y1)))
        size = _multiple((x2 - x1) // n, width), _multiple((y2 - y1) // n, height)
        if n == 1:
            larger = np.asarray(cv2.resize(level[y1:y2, x1:x2], size), np.uint8)
        else:
            larger = stretched(level, (x1 / n, y1 / n, x2 / n, y2 / n), *size)
        cv2.resize(larger, (width, height), dst=crop, interpolation=cv2.INTER_AREA)
    return crops


def _multiple(length: int, side: int) -> int:
    """The largest whole multiple of `side` that is not longer than `length`; at least 1 and at most 8 times `side`.

    Of a face it is no more than 3 or 4 times; 8 limits the time that a box takes which is far wider than high.
    """
    return min(max(length // side, 1), 8) * side


def context_box(box: NDArray[np.float32], scale: float, height: int, width: int) -> tuple[int, int, int, int]:
    """x1 y1 x2 y2 in whole pixels, x2 and y2 exclusive: the part of a height x width image to crop, never empty."""
    x1, y1, x2, y2 = (float(value) for value in box)
    box_width, box_height = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
    scale = min(scale, (width - 1) / box_width, (height - 1) / box_height)
    left, right = _clamped((x1 + x2) / 2, box_width * scale, width)
    top, bottom = _clamped((y1 + y2) / 2, box_height * scale, height)
    return left, top, right, bottom


def _clamped(centre: float, length: float, limit: int) -> tuple[int, int]:
    """The part of a span of `length` pixels about `centre` that lies in [0, limit); at least one pixel."""
    start = min(max(int(centre - length / 2), 0), limit - 1)
    return start, max(min(int(centre + length / 2) + 1, limit), start + 1)


def fuse(probabilities: Sequence[NDArray[np.float32]], rule: FusionRule) -> Liveness:
    """The verdict on N faces from each net's softmax, FP32 [N, classes]: their mean decides.

    Real means that `rule.real_class` is larger than every other class and reaches `rule.min_real`. Raises RuntimeError
    when a net's answer is not a set of probabilities: a verdict is never made of a check that did not work.
    """
    for answer in probabilities:
        shaped = answer.ndim == 2 and answer.shape == (len(probabilities[0]), rule.classes)
        if not shaped or not np.all(answer >= 0.0) or not np.all(np.abs(answer.sum(axis=1) - 1.0) <= 1e-2):  # NaN fails
            raise RuntimeError("a liveness net answered values that are not probabilities")
    mean = np.mean(np.stack(probabilities), axis=0)
    p_real = mean[:, rule.real_class]
    others = np.delete(mean, rule.real_class, axis=1).max(axis=1)
    return Liveness((p_real > others) & (p_real >= rule.min_real), p_real.astype(np.float32))
