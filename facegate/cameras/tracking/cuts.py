"""Where a film goes on with another picture: a cut, or a folder's next photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Mean absolute difference, 0-255, of two frames' samples, from which they are two pictures. The 1176 pairs of the 49
# labelled pictures, all brought to 640 x 480, differ by 28 or more, 99 % of them by 52. Consecutive frames of the
# scenes of benchmarks.tracks.scenes at 2, 5 and 10 frames a second differ by at most 19, 16 and 13, where a picture is
# carried past the camera by 27, 19 and 13, and where that covers half of what it sees by 46, 31 and 20.
_CUT = 25.0
_SIDE = 32  # samples a side, about


class Cuts:
    """Tells frames that continue the one before from those that do not. Microseconds a frame.

    Two pictures alike, as of two people in front of one wall, may be taken for one; a large thing that rushes past for
    a cut.
    """

    def __init__(self) -> None:
        self._shape: tuple[int, ...] | None = None
        self._before: NDArray[np.int16] = np.empty(0, dtype=np.int16)

    def see(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether `pixels`, uint8 [height, width, 3], are another picture than those before, by size or by content."""
        height, width = pixels.shape[:2]
        samples = pixels[:: max(1, height // _SIDE), :: max(1, width // _SIDE)].astype(np.int16)
        before, shape = self._before, self._shape
        self._before, self._shape = samples, pixels.shape
        if shape is None:
            return False
        return shape != pixels.shape or float(np.abs(samples - before).mean()) >= _CUT
