"""What models are built for: what runs them, in which precision, and the detector's input size."""

from __future__ import annotations

from enum import Enum

Size = tuple[int, int]
"""Height and width in pixels."""


class Target(str, Enum):
    """What runs the nets."""

    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt-rtx"
    onnxruntime = "onnxruntime"

    @property
    def file(self) -> str:
        """What a net's engine is called in a repository. Triton takes a model.plan for TensorRT's, and only that."""
        return {"tensorrt": "model.plan", "tensorrt-rtx": "model.rtx", "onnxruntime": "model.onnx"}[self.value]

    @property
    def label(self) -> str:
        """Its name in a sentence."""
        return {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT for RTX", "onnxruntime": "ONNX Runtime"}[self.value]


class Precision(str, Enum):
    """What the products of a model are computed in."""

    fp32 = "fp32"
    fp16 = "fp16"
