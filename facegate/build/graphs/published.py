"""What a published net answers, asked of the net itself: exporters leave its shapes open, or write wrong ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from facegate.errors import GraphError
from facegate_ensemble.pack import Net


def session(graph: Path | onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A graph under ONNX Runtime, silent: what it fails at it raises, and its warnings are of no use to a user."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    source = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def output_shapes(net: Net, published: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Each output's shape for one black picture of the size that the pack says. Raises GraphError where it fails."""
    picture = np.zeros((1, 3, net.height, net.width), dtype=np.float32)
    try:
        opened = session(published)
        names = [output.name for output in opened.get_outputs()]
        answers = opened.run(names, {opened.get_inputs()[0].name: picture})
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        reason = " ".join(str(error).split())[:300]
        raise GraphError(f"{net.file}: cannot be run on [1, 3, {net.height}, {net.width}]: {reason}") from None
    return {name: answer.shape for name, answer in zip(names, answers, strict=True)}
