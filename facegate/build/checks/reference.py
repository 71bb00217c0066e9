"""The published nets fed by hand, one picture at a time, in plain numpy: what the served graphs are held against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from facegate.build.graphs.published import session
from facegate.build.graphs.resized import resize
from facegate.build.precision.running import Outputs
from facegate_client import contract
from facegate_ensemble.pack import STRIDES, Detector, LivenessNet, Net


class Reference:
    """A published net and the way it is fed and read, as its authors describe it.

    A detector is run at the input size of `net`, whichever its file declares.
    """

    def __init__(self, net: Net, weights: Path) -> None:
        self._net = net
        sized = isinstance(net, Detector)
        self._session = session(resize(onnx.load(weights), net.height, net.width) if sized else weights)

    def raw(self, picture: NDArray[np.uint8]) -> Outputs:
        """What the net answers to one UINT8 [H, W, 3] BGR picture, by its own names and in its own shapes."""
        pixels = picture[:, :, ::-1] if self._net.colour == "RGB" else picture
        normal = (pixels.astype(np.float64) - self._net.mean) / self._net.std
        fed = normal.transpose(2, 0, 1)[None].astype(np.float32)
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(None, {self._session.get_inputs()[0].name: fed}), strict=True))

    def read(self, raw: Outputs) -> Outputs:
        """What the served graph should answer where the net answers `raw`, without the batch dimension."""
        if isinstance(self._net, Detector):
            return _FAMILIES[self._net.head](raw, self._net)
        (values,) = (each.reshape(-1).astype(np.float64) for each in raw.values())
        if isinstance(self._net, LivenessNet):
            powers = np.exp(values - values.max())
            return {contract.PROBABILITIES: (powers / powers.sum()).astype(np.float32)}
        return {contract.EMBEDDINGS: (values / np.linalg.norm(values)).astype(np.float32)}


def _yunet(raw: Outputs, net: Detector) -> Outputs:
    """YuNet's candidates decoded cell by cell, best first (the formula is in facegate/build/graphs/served.py)."""
    boxes, scores, landmarks = [], [], []
    for stride in STRIDES:
        confidence = np.clip(raw[f"cls_{stride}"][0, :, 0], 0, 1) * np.clip(raw[f"obj_{stride}"][0, :, 0], 0, 1)
        for cell, (box, points) in enumerate(zip(raw[f"bbox_{stride}"][0], raw[f"kps_{stride}"][0], strict=True)):
            row, column = divmod(cell, net.width // stride)
            x, y = (column + box[0]) * stride, (row + box[1]) * stride
            w, h = np.exp(box[2]) * stride, np.exp(box[3]) * stride
            boxes.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
            landmarks.append((points.reshape(5, 2) + np.array([column, row])) * stride)
            scores.append(np.sqrt(confidence[cell]))
    return _best_first(boxes, scores, landmarks, net)


def _scrfd(raw: Outputs, net: Detector) -> Outputs:
    """SCRFD's candidates decoded anchor by anchor, best first (the formula is in facegate/build/graphs/scrfd.py)."""
    boxes, scores, landmarks = [], [], []
    levels: dict[int, dict[int, NDArray[np.float32]]] = {}
    for values in raw.values():
        rows = values.reshape(-1, values.shape[-1])
        levels.setdefault(len(rows), {})[rows.shape[1]] = rows
    for stride, anchors in zip(STRIDES, sorted(levels, reverse=True), strict=True):
        columns = net.width // stride
        per_cell = anchors // (columns * (net.height // stride))
        for anchor in range(anchors):
            row, column = divmod(anchor // per_cell, columns)
            left, top, right, bottom = levels[anchors][4][anchor] * stride
            x, y = column * stride, row * stride
            boxes.append((x - left, y - top, x + right, y + bottom))
            landmarks.append(levels[anchors][10][anchor].reshape(5, 2) * stride + np.array([x, y]))
            scores.append(levels[anchors][1][anchor, 0])
    return _best_first(boxes, scores, landmarks, net)


def _best_first(boxes: list[Any], scores: list[Any], landmarks: list[Any], net: Detector) -> Outputs:
    order = np.argsort(-np.array(scores), kind="stable")[: net.candidates]
    return {
        contract.BOXES: np.array(boxes, dtype=np.float32)[order],
        contract.SCORES: np.array(scores, dtype=np.float32)[order],
        contract.LANDMARKS: np.array(landmarks, dtype=np.float32)[order],
    }


_FAMILIES = {"yunet": _yunet, "scrfd": _scrfd}
