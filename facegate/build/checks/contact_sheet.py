"""What each net of a pack is fed, on one picture for a person to look at."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.build.checks.parity import crops_of
from facegate_ensemble.pack import Net, Pack, Recognizer
from facegate_ensemble.runtime.onnx.runner import OnnxInferer

Picture = NDArray[np.uint8]

TILE, GAP, TITLE = 160, 8, 28  # pixels: a crop's longer side, the space between two, a row's title
MOST = 8  # crops in a row
INK, POINT = (40, 40, 40), (60, 200, 60)  # BGR


def contact_sheet(pack: Pack, repository: Path, image: Picture, name: str = "the picture") -> Picture:
    """UINT8 [H, W, 3] BGR: a row a net, its input for `image`, UINT8 [H, W, 3] BGR, and how it is fed.

    The recognizer has its crops twice, the second time with the template's points, which must lie on the eyes, the nose
    and the mouth. Raises ParityError, which names the picture as `name`, when it shows no face.
    """
    inferer = OnnxInferer(repository, pack.nets)
    rows: list[Picture] = []
    for model, net in pack.nets.items():
        crops = crops_of(pack, inferer, model, [(name, image)])[:MOST]
        rows.append(_row(f"{model}: {describe(net)}", list(crops)))
        if isinstance(net, Recognizer):
            rows.append(_row(f"{model}: the template's points", [_marked(crop, net) for crop in crops]))
    width = max(row.shape[1] for row in rows)
    return np.concatenate([_padded(row, width) for row in rows])


def describe(net: Net) -> str:
    """Size, colour order and range of values of a net's input, in words."""
    least = [(0 - mean) / std for mean, std in zip(net.mean, net.std, strict=True)]
    most = [(255 - mean) / std for mean, std in zip(net.mean, net.std, strict=True)]
    return f"{net.width} x {net.height} {net.colour}, values {min(least):.3g} to {max(most):.3g}"


def _row(title: str, crops: list[Picture]) -> Picture:
    factor = TILE / max(crops[0].shape[:2])
    tiles = [cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) for crop in crops]
    height, width = tiles[0].shape[:2]
    (needed, _), _ = cv2.getTextSize(title, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    row = np.full((TITLE + height + GAP, max(GAP + len(tiles) * (width + GAP), needed + 2 * GAP), 3), 255, np.uint8)
    cv2.putText(row, title, (GAP, TITLE - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    for number, tile in enumerate(tiles):
        left = GAP + number * (width + GAP)
        row[TITLE : TITLE + height, left : left + width] = tile
    return row


def _marked(crop: Picture, net: Recognizer) -> Picture:
    marked = crop.copy()
    for x, y in net.template:
        cv2.circle(marked, (round(x), round(y)), max(1, net.width // 56), POINT, cv2.FILLED)
    return marked


def _padded(row: Picture, width: int) -> Picture:
    return cast(Picture, cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], cv2.BORDER_CONSTANT, value=(255,) * 3))
