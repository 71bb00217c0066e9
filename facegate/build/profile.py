"""How many rows a net takes at once: written once, for the engine and for Triton's max_batch_size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facegate_ensemble.pack import Detector, Net, Pack

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


def of_batch(pack: Pack, faces: int | None) -> Pack:
    """The pack with nets that take so many faces at once, and a quarter as many frames; unchanged where None."""
    if faces is None:
        return pack
    changed: dict[str, Any] = {
        "detector": _of_rows(pack.detector, max(1, faces // 4)),
        "recognizer": _of_rows(pack.recognizer, faces),
    }
    if pack.liveness:
        live = tuple(_of_rows(net, faces) for net in pack.liveness.nets)
        changed["liveness"] = pack.liveness.model_copy(update={"nets": live})
    return pack.model_copy(update=changed)


def _of_rows(net: Net, rows: int) -> Net:
    """The net with another largest batch; one that takes a picture at a time stays so."""
    return net if net.max_batch == 1 else net.model_copy(update={"max_batch": rows})
