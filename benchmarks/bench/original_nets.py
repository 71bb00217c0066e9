"""The published nets of a pack as most programs run them: the downloaded ONNX files under ONNX Runtime's defaults.

A session of its own for each net, all settings as they are, one face at a time, normalised in float32 by numpy. What is
cut from the picture for them is cut by the pipeline's own functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.bench.peer import Verdict
from facegate_ensemble.pack import Net, Pack
from facegate_ensemble.pipeline.alignment import aligned_crops
from facegate_ensemble.pipeline.liveness import context_crops, fuse
from facegate_ensemble.pipeline.pyramid import ImagePyramid
from facegate_ensemble.pipeline.verification import judge

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


class OriginalNet:
    """One net, fed (pixel - mean) / std."""

    def __init__(self, net: Net, files: Mapping[str, Path]) -> None:
        self.net = net
        options = onnxruntime.SessionOptions()
        self._session = onnxruntime.InferenceSession(str(files[net.file]), options, providers=["CPUExecutionProvider"])
        self._input: str = self._session.get_inputs()[0].name
        self._names: list[str] = [output.name for output in self._session.get_outputs()]
        self._mean, self._std = np.array(net.mean, np.float32), np.array(net.std, np.float32)

    def run(self, picture: Image) -> dict[str, Floats]:
        """The outputs by name for one UINT8 [H, W, 3] BGR picture of the net's size."""
        pixels = picture[:, :, ::-1] if self.net.colour == "RGB" else picture
        normal = (pixels.astype(np.float32) - self._mean) / self._std
        fed = np.ascontiguousarray(normal.transpose(2, 0, 1)[None])
        return dict(zip(self._names, self._session.run(None, {self._input: fed}), strict=True))

    def only(self, picture: Image) -> Floats:
        """The one output of a net that has one, as FP32 [1, N]."""
        (values,) = self.run(picture).values()
        return values.reshape(1, -1)


class OriginalNets:
    """The recognizer and the liveness nets."""

    def __init__(self, pack: Pack, files: Mapping[str, Path]) -> None:
        self._pack = pack
        self._recognizer = OriginalNet(pack.recognizer, files)
        self._liveness = [(each, OriginalNet(each, files)) for each in pack.liveness_nets]
        self._template = np.array(pack.recognizer.template, np.float32)

    def embedding(self, image: Image | ImagePyramid, landmarks: Floats) -> Floats:
        """FP32 [1, D] of length one, of the face with `landmarks` [5, 2]."""
        net = self._pack.recognizer
        (crop,) = aligned_crops(image, landmarks[None], self._template, net.height, net.width)
        values = self._recognizer.only(crop)
        return values / np.linalg.norm(values)

    def probabilities(self, image: Image | ImagePyramid, box: Floats) -> list[Floats]:
        """Each liveness net's softmax, FP32 [1, classes], of the face in `box` [4]."""
        answers = []
        for about, net in self._liveness:
            (crop,) = context_crops(image, box[None], about.crop_scale, about.height, about.width)
            powers = np.exp((values := net.only(crop)) - values.max())
            answers.append(powers / powers.sum())
        return answers

    def verdict(self, embeddings: list[Floats], probabilities: list[list[Floats]]) -> Verdict:
        """What the two pictures' faces come to by the pack's rules."""
        assert self._pack.liveness is not None
        live = fuse([np.concatenate(each) for each in zip(*probabilities, strict=True)], self._pack.liveness)
        judged = judge(np.concatenate(embeddings), self._pack.recognizer.threshold, live)
        return Verdict(judged.verified, (bool(live.is_real[0]), bool(live.is_real[1])), judged.distance)


def decoded(data: bytes) -> Image:
    """UINT8 [H, W, 3] BGR, as OpenCV decodes it. Raises ValueError for what is no picture."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("not a picture")
    return image.astype(np.uint8, copy=False)
