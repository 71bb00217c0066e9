"""The rules for rows of FACES_IN: the server checks them, and a camera before it sends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegate_client import contract


def faces_in_errors(rows: NDArray[np.float32], height: int, width: int) -> dict[str, NDArray[np.bool_]]:
    """Returns which rows break which rule: bool [N] by the rule's text, in the order in which rules are reported.

    `rows` are float32 [N, 14], x1 y1 x2 y2 and five landmarks' x y in pixels of an image of `height` x `width`. Most of
    the box and the mean of the landmarks must lie in the image: the image's edge must not decide on liveness. The
    landmarks must lie in their box: otherwise identity and liveness could be those of two different faces.
    """
    low, high, landmarks = rows[:, :2], rows[:, 2:4], rows[:, 4:].reshape(-1, 5, 2)
    limits = np.array([width, height], dtype=np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.abs(rows).max(axis=1, initial=0.0) <= 1e6  # far outside any image; NaN compares false
        sides = high - low
        visible = np.clip(high, 0, limits) - np.clip(low, 0, limits)
        centre = landmarks.mean(axis=1)
        margin = np.float32(contract.LANDMARK_MARGIN) * sides
        belongs = (landmarks >= (low - margin)[:, None]) & (landmarks <= (high + margin)[:, None])
        return {
            "needs finite values in pixels": ~finite,
            f"needs a box of at least {contract.LEAST_FACE_IN} x {contract.LEAST_FACE_IN} pixels": ~(
                sides >= contract.LEAST_FACE_IN
            ).all(axis=1),
            "lies outside the image by more than half": ~(visible.prod(axis=1) >= sides.prod(axis=1) / 2)
            | ~((centre >= 0) & (centre < limits)).all(axis=1),
            f"needs landmarks in its box, or at most {contract.LANDMARK_MARGIN:.0%} of its side outside": ~belongs.all(
                axis=(1, 2)
            ),
        }
