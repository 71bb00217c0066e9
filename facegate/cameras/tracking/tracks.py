"""The faces of one camera, followed from frame to frame: which are due for a judgement, and what is known of each."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facegate.cameras.frame import Frame
from facegate.cameras.sighting import Ended, Sighting
from facegate.cameras.tracking.box_tracker import Array, BoxTracker, Matched, covered
from facegate.cameras.tracking.due import BURST, FAKE_BURST, as_rows
from facegate.cameras.tracking.liveness import TrackLiveness
from facegate.cameras.tracking.quality import qualities
from facegate.cameras.tracking.track import Track
from facegate_client.errors import ServerFault
from facegate_client.results import Face, Faces
from facegate_ensemble.faces_in import faces_in_errors

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


HEARD_AFTER = 4  # frames after its own in which an answer may first change what is due
MAX_AHEAD = 64  # frames seen and not absorbed


@dataclass(frozen=True, slots=True)
class _Seen:
    """A face in a frame: `row` is its place in `due`, None where it is not sent; `doubts` its track's by then."""

    track: Track
    face: Face
    quality: float
    doubts: int
    counts: bool
    row: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A frame that was seen. `due` are the faces to be judged, float32 [N, 14], N often 0: analyze's `faces`."""

    due: NDArray[np.float32]
    count: int = field(repr=False)
    media_s: float = field(repr=False)
    entries: tuple[_Seen, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Heard:
    """What the answer on a face in frame `count` changes about what is due."""

    count: int
    track: Track
    doubts: int
    failed: bool = False
    began_anew: bool = False
    burst: int = 0


class Tracks:
    """A camera's tracks. Pure: no clock, no input or output; not for several threads.

    `see` and `absorb` each take the frames in order; `see` may be up to MAX_AHEAD frames ahead. What is due follows
    from what was seen and chosen. Answers take part only where one failed, contradicts its track's verdict or shows
    another face, and not before HEARD_AFTER frames later: where every frame is absorbed before the HEARD_AFTER-th one
    after it is seen, and no call fails, the results do not depend on how fast the answers come.

    What a verdict is worth: a face that takes a track's place, and gives neither box nor picture reason for doubt, has
    its verdict until the track's next judgement, `judge_every_s` later at the latest, where it is another person's and
    `embeddings` are asked for; the same person's photo, or without embeddings anybody's, until that and the few
    judgements that follow it have outvoted those before. A track that is no longer judged is not checked (KEPT_S).
    """

    def __init__(self, *, anti_spoofing: bool, embeddings: bool, judge_every_s: float = 2.0) -> None:
        """With `judge_every_s` 0 every face is due in every frame; with both flags False none ever is."""
        if not (math.isfinite(judge_every_s) and judge_every_s >= 0):
            raise ValueError(f"judge_every_s: expected seconds, 0 or more, got {judge_every_s}")
        self._anti_spoofing = anti_spoofing
        self._asks = anti_spoofing or embeddings
        self._every_s = judge_every_s
        self._boxes = BoxTracker()
        self._cuts = Cuts()
        self._scene = 0
        self._tracks: dict[int, Track] = {}
        self._over: list[Track] = []
        self._heard: deque[_Heard] = deque()
        self._seen = 0
        self._absorbed = 0

    def see(self, frame: Frame, faces: Sequence[Face]) -> Seen:
        """Follows a frame's detected faces. Raises RuntimeError when MAX_AHEAD frames are not absorbed yet."""
        if self._seen - self._absorbed >= MAX_AHEAD:
            raise RuntimeError(f"{MAX_AHEAD} frames were seen and not absorbed: absorb each frame, answered or not")
        self._seen += 1
        self._hear()
        self._scene += self._cuts.see(frame.pixels)
        values = as_rows(faces)
        rows = values.astype(np.float32)
        good = qualities(frame.pixels, values).tolist()
        errors = faces_in_errors(rows, *frame.pixels.shape[:2])
        sendable = (~np.logical_or.reduce(list(errors.values()))).tolist()
        matches = self._boxes.update(frame.media_s, values[:, :4])
        live = self._boxes.live
        self._end_all_but(live)
        close = touching(live, self._boxes.times)
        due: list[int] = []
        entries = []
        for index, (face, matched) in enumerate(zip(faces, matches, strict=True)):
            is_close = matched.track in close
            track = self._track(matched, frame, is_close)
            track.see(self._seen, frame, good[index])
            place = None
            if self._asks and sendable[index] and track.choices.due(frame.media_s, good[index], is_close):
                track.choices.choose(self._seen, frame.media_s, good[index])
                place = len(due)
                due.append(index)
            entries.append(_Seen(track, face, good[index], track.doubts, not is_close, place))
        return Seen(rows[due], self._seen, frame.media_s, tuple(entries))

    def _track(self, matched: Matched, frame: Frame, is_close: bool) -> Track:
        """The track of a box, in doubt where it may have become another face's."""
        track = self._tracks.get(matched.track)
        if track is None:
            track = self._tracks[matched.track] = Track(matched.track, self._every_s, frame, self._scene)
        if is_close or is_another(matched) or track.scene != self._scene:
            track.doubt()
        track.scene = self._scene
        return track

    def absorb(self, seen: Seen, judged: Faces | None) -> list[Sighting]:
        """What is known of a frame's faces, in the order in which they were seen.

        `judged` answers `seen.due`, row by row; None where nothing was due or the call failed, and then the faces are
        due again. Raises ServerFault where it is no such answer, and then, too, the faces are due again and nothing is
        known of them that was not before; ValueError where it is not this frame's turn.
        """
        if seen.count != self._absorbed + 1:
            raise ValueError(f"frame {seen.count} is absorbed out of turn: {self._absorbed + 1} is next")
        self._absorbed += 1
        fault = None if judged is None else self._fault(len(seen.due), judged)
        if judged is None or fault:
            asked = [entry for entry in seen.entries if entry.row is not None]
            self._heard += [_Heard(self._absorbed, entry.track, entry.doubts, failed=True) for entry in asked]
        if fault:
            raise ServerFault(fault)
        return [self._absorb_face(seen.media_s, entry, judged) for entry in seen.entries]

    def _fault(self, asked: int, judged: Faces) -> str | None:
        if len(judged) != asked:
            return f"{asked} faces were asked about, {len(judged)} answered"
        if self._anti_spoofing and any(face.is_real is None or face.antispoof_score is None for face in judged):
            return "liveness was asked for and the answer has none"
        return None

    def _absorb_face(self, media_s: float, entry: _Seen, judged: Faces | None) -> Sighting:
        known = entry.track.judged
        known.keep_up(entry.doubts, media_s)
        answer = judged[entry.row] if judged is not None and entry.row is not None else None
        if answer is not None and judged is not None and entry.counts:
            anew = known.add(answer, judged.model, media_s, entry.quality, self._anti_spoofing)
            self._heard.append(
                _Heard(self._absorbed, entry.track, entry.doubts, began_anew=anew, burst=_burst(known.liveness))
            )
        mean = known.embedding.mean
        return Sighting(
            entry.track.number,
            entry.face,
            entry.quality,
            is_real=known.liveness.is_real,
            antispoof_score=known.liveness.score,
            judgements=known.liveness.judgements,
            judgement=answer,
            embedding=mean,
            newest=known.embedding.newest,
            embedding_digest=known.model.embedding_digest if known.model and mean is not None else None,
        )

    def ended(self) -> list[Ended]:
        """The tracks that are over since the last call and whose every frame is absorbed. Call it after each frame."""
        over = [track for track in self._over if track.last_seen <= self._absorbed]
        self._over = [track for track in self._over if track.last_seen > self._absorbed]
        return [track.ended() for track in over]

    def end(self) -> list[Ended]:
        """The camera's end: all the tracks that are left, absorbed or not."""
        self._end_all_but({})
        over, self._over = self._over, []
        self._boxes = BoxTracker()
        return [track.ended() for track in over]

    def _end_all_but(self, live: Collection[int]) -> None:
        over = [number for number in self._tracks if number not in live]
        self._over += [self._tracks.pop(number) for number in over]

    def _hear(self) -> None:
        """Lets the answers take part in what is due, each no sooner than HEARD_AFTER frames after its own."""
        while self._heard and self._heard[0].count + HEARD_AFTER <= self._seen:
            heard = self._heard.popleft()
            if heard.doubts != heard.track.doubts:
                continue  # of another face, perhaps
            choices = heard.track.choices
            if heard.failed:
                choices.failed(heard.count)
                continue
            if heard.began_anew:
                choices.from_frame(heard.count)
            choices.burst = heard.burst


def _burst(liveness: TrackLiveness) -> int:
    if liveness.settled:
        return 0
    return FAKE_BURST if liveness.is_real is False else BURST
