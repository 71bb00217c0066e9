"""When a track may have become another face's: then nothing that was known of it holds.

Boxes alone cannot tell two faces apart that change places, so whatever may be such a change is taken for one. A cut to
another picture (cuts.py) is one, too.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facegate.cameras.tracking.box_tracker import Array, Matched, covered

TOUCHING = 0.3  # of the smaller box; the detector's NMS keeps two boxes to about an IoU of 0.3, 0.46 of equal boxes
LOST_S = 0.3  # unseen for longer is long enough to hold a picture before a face
BLIND_S = 1.1  # so is this between two frames: one frame a second is the slowest at which verdicts hold
JUMP = 0.2  # IoU with what was expected or last seen, under which a box has jumped
_STEPS = (0.25, 0.5, 0.75, 1.0)  # on the way between two frames


def is_another(match: Matched) -> bool:
    """Whether a match may well be of a face other than the track's."""
    lost = match.gap_s > (LOST_S if match.missed else BLIND_S)
    return not match.new and (lost or match.overlap < JUMP)


def touching(live: Mapping[int, tuple[Array, Array]], times: Mapping[int, tuple[float, float]]) -> set[int]:
    """The tracks that touch another, now or on the way from the frame before, had both moved evenly.

    `live` has for each track its box before and now, seen or expected, and `times` when it was first and last seen. A
    face that vanishes behind another's is doubt about the other. A face that was first seen after the other was lost
    does not touch it: it has a track of its own, of which nothing is known yet that could be another's.
    """
    if not live:
        return set()
    before, now = np.array(list(live.values())).swapaxes(0, 1)
    low, high = np.minimum(before, now)[:, :2], np.maximum(before, now)[:, 2:]
    first, last = np.array([times[track] for track in live]).T
    met_before = first[:, None] <= last[None, :]
    near = met_before & (low[:, None, 0] < high[None, :, 0]) & (low[:, None, 1] < high[None, :, 1])
    a, b = np.nonzero(np.triu(near & near.T, 1))  # the pairs whose ways' outlines meet
    touched = np.zeros(len(live), dtype=bool)
    for step in _STEPS:
        boxes = before + (now - before) * step
        met = covered(boxes[a], boxes[b]) > TOUCHING
        touched[a[met]] = touched[b[met]] = True
    return {track for track, is_touched in zip(live, touched, strict=True) if is_touched}
