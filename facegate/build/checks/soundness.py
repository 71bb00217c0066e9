"""What a published net must answer, whatever its graph is: checked on the values themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facegate.build.checks.reference import Outputs
from facegate_ensemble.pack import Detector, LivenessNet, Net, Recognizer

ROUNDING = 1e-3
"""How far a probability may lie outside 0 to 1, and how far their sum may be from 1 and still be taken for it."""


class UnsoundError(ValueError):
    """A net's answers are none that its pack's kind of net gives."""


def require_sound(net: Net, answers: Sequence[Outputs]) -> None:
    """Raises UnsoundError unless `answers`, a published net's raw outputs by picture, are what its kind answers."""
    if not all(np.isfinite(values).all() for answer in answers for values in answer.values()):
        raise UnsoundError("answers values that are not numbers")
    if isinstance(net, Detector) and net.head == "scrfd":  # a yunet's are clipped
        scores = np.concatenate([v.ravel() for answer in answers for v in answer.values() if v.shape[-1] == 1])
        if scores.min() < -ROUNDING or scores.max() > 1 + ROUNDING:
            raise UnsoundError(
                f"answers scores of {scores.min():.3g} to {scores.max():.3g}; wanted are scores of 0 to 1: "
                "a Sigmoid must end each of its three score outputs"
            )
    elif isinstance(net, Recognizer):
        if not all(values.any() for answer in answers for values in answer.values()):
            raise UnsoundError("answers zeros to a face, of which no embedding can be made")
    elif isinstance(net, LivenessNet) and all(_adds_up(answer) for answer in answers):
        raise UnsoundError("answers probabilities; wanted are logits: cut off the nodes that make them probabilities")


def _adds_up(answer: Outputs) -> bool:
    """Whether a liveness net's one output is a set of probabilities."""
    (values,) = (each.astype(np.float64) for each in answer.values())
    return bool(values.min() >= 0 and abs(values.sum() - 1) <= ROUNDING)
