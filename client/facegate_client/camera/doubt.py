"""When a track may have become another face's: then nothing that was known of it holds.

Boxes alone cannot tell two faces apart that change places, so whatever may be such a change is taken for one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facegate_client.camera.tracking import Array, Match, covered

TOUCHING = 0.3  # of the smaller box; the detector's NMS keeps two boxes to about an IoU of 0.3, 0.46 of equal boxes
LOST_S = 0.3  # unseen for longer is long enough to hold a picture before a face
BLIND_S = 1.1  # so is this between two frames: one frame a second is the slowest at which verdicts hold
JUMP = 0.2  # IoU with what was expected or last seen, under which a box has jumped
_STEPS = (0.25, 0.5, 0.75, 1.0)  # on the way between two frames


def is_another(match: Match) -> bool:
    """Whether a match may well be of a face other than the track's."""
    lost = match.gap_s > (LOST_S if match.missed else BLIND_S)
    return not match.new and (lost or match.overlap < JUMP)


def touching(live: Mapping[int, tuple[Array, Array]]) -> set[int]:
    """The tracks that touch another, now or on the way from the frame before, had both moved evenly.

    `live` has for each track its box before and now, seen or expected: a face that vanishes behind another's is doubt
    about the other.
    """
    if len(live) < 2:
        return set()
    before, now = np.array(list(live.values())).swapaxes(0, 1)
    touched = np.zeros(len(live), dtype=bool)
    for step in _STEPS:
        boxes = before + (now - before) * step
        shares = covered(boxes, boxes)
        np.fill_diagonal(shares, 0)
        touched |= (shares > TOUCHING).any(axis=1)
    return {track for track, is_touched in zip(live, touched, strict=True) if is_touched}
