"""What a published net answers, asked of the net itself: exporters leave its shapes open, or write wrong ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from engines.graphs.errors import GraphError
from ensemble.pack import Net


def output_shapes(net: Net, weights: Path) -> dict[str, tuple[int, ...]]:
    """Each output's shape for one black picture of the size that the pack says. Raises GraphError where it fails."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it has to say comes as an exception too
    picture = np.zeros((1, 3, net.height, net.width), dtype=np.float32)
    try:
        session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        answers = session.run(names, {session.get_inputs()[0].name: picture})
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        reason = " ".join(str(error).split())[:300]
        raise GraphError(f"{net.file}: cannot be run on [1, 3, {net.height}, {net.width}]: {reason}") from None
    return {name: answer.shape for name, answer in zip(names, answers, strict=True)}
