"""How many rows a net takes at once: written once, for the engine and for Triton's max_batch_size."""

from __future__ import annotations

from dataclasses import dataclass

from ensemble.pack import Detector, Net

FAVOURED_FRAMES, FAVOURED_FACES = 4, 8
"""The batch that TensorRT chooses its kernels for, at most: frames of a few cameras at a time, the faces of one or two
frames. All others up to the largest work too."""


@dataclass(frozen=True, slots=True)
class Profile:
    """TensorRT's optimization profile of the batch dimension: least, favoured and most rows."""

    min: int
    opt: int
    max: int


def profile(net: Net) -> Profile:
    """The profile of one net: a detector's rows are frames, the others' are faces."""
    favoured = FAVOURED_FRAMES if isinstance(net, Detector) else FAVOURED_FACES
    return Profile(1, min(favoured, net.max_batch), net.max_batch)
