"""Graphs run under ONNX Runtime while they are converted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

Outputs = dict[str, NDArray[np.float32]]


def answers(model: onnx.ModelProto, crops: NDArray[np.uint8]) -> Iterator[Outputs]:
    """What `model` answers to each of `crops`, UINT8 [N, H, W, 3], by its outputs' names and without the batch."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    opened = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in opened.get_outputs()]
    for crop in crops:
        outputs = opened.run(names, {opened.get_inputs()[0].name: crop[None]})
        yield {name: values[0] for name, values in zip(names, outputs, strict=True)}


def spread(crops: NDArray[np.uint8], most: int, pixels: int) -> NDArray[np.uint8]:
    """At most `most` of `crops`, [N, H, W, 3], evenly from first to last: as many as have `pixels` in all, or one."""
    affordable = max(1, pixels // (crops.shape[1] * crops.shape[2]))
    rows = np.linspace(0, len(crops) - 1, min(most, affordable, len(crops))).astype(np.intp)
    return np.take(crops, rows, axis=0)
