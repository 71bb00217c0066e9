"""Scales for INT8 activations, from what a net's values are on real crops."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from facegate.build.precision.int8 import STEPS
from facegate.build.precision.running import answers, spread

MOST, PIXELS = 64, 10 << 20
"""Crops looked at, and pixels in all of them: 25 pictures for a detector of 640 x 640. Seconds on two cores."""

BINS = 2048
CLIPS = np.linspace(0.2, 1.0, 81)
"""Where values may be cut off, as parts of the largest one."""


def activation_scales(model: onnx.ModelProto, values: Collection[str], crops: NDArray[np.uint8]) -> dict[str, float]:
    """For each of the graph's float `values` the scale at which rounding and cutting off lose least: FP32, above 0.

    The loss is the mean square over the values of `crops`, UINT8 [N, H, W, 3], of at most MOST of them.
    """
    if not values:
        return {}
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    del probed.graph.output[:]
    for value in sorted(values):
        probed.graph.output.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, None))
    seen = spread(crops, MOST, PIXELS)
    largest: dict[str, float] = {}
    for answer in answers(probed, seen):
        for value, found in answer.items():
            largest[value] = max(largest.get(value, 1e-6), float(np.abs(found).max()))
    counts = {value: np.zeros(BINS, dtype=np.int64) for value in largest}
    for answer in answers(probed, seen):
        for value, found in answer.items():
            bins = (np.abs(found).ravel() * np.float32(BINS / largest[value])).astype(np.int32)
            counts[value] += np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)
    return {value: _least_loss(counts[value]) * largest[value] / STEPS for value in largest}


def _least_loss(counts: NDArray[np.int64]) -> float:
    """Which of CLIPS loses least of values with this histogram, from zero to the largest."""
    centres = (np.arange(BINS) + 0.5) / BINS
    steps = CLIPS[:, None] / STEPS
    held = np.minimum(np.rint(centres / steps), STEPS) * steps
    return float(CLIPS[((held - centres) ** 2 @ counts).argmin()])
