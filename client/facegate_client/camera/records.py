"""The lines of results: their schema, which docs/camera.md explains. A change that a reader may notice is a version.

JSON-ready and flat; null says "not checked", "not asked for" or "nobody", never "fake".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, ClassVar, Literal

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line. `camera` is the source's name; `wall_s` is Unix time, written as ISO 8601, UTC, in `time`."""

    type: ClassVar[str]

    camera: str
    wall_s: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        values = asdict(self)
        time = datetime.fromtimestamp(values.pop("wall_s"), timezone.utc).isoformat(timespec="milliseconds")
        return {"v": VERSION, "type": self.type, "time": time.replace("+00:00", "Z"), **values}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceRecord(Record):
    """A face in a frame. `box` and `landmarks` are in pixels of the frame as analysed, `width` x `height`.

    `is_real` and `antispoof_score` are the track's verdict so far; `frame_is_real` and `frame_antispoof_score` are what
    the nets said of this very frame, null where it was not judged. `who` is the watched person whom the track is
    nearest to, where it is near enough, and `distance` the cosine distance to the nearest.
    """

    type: ClassVar[str] = "face"

    frame: int
    media_s: float
    width: int
    height: int
    track: int
    box: tuple[float, ...]
    landmarks: tuple[tuple[float, ...], ...]
    score: float
    quality: float
    is_real: bool | None
    antispoof_score: float | None
    judgements: int
    frame_is_real: bool | None
    frame_antispoof_score: float | None
    who: str | None
    distance: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord(Record):
    """A track that is over: what was known of it at the end, in one line."""

    type: ClassVar[str] = "track"

    track: int
    first_frame: int
    last_frame: int
    first_s: float
    last_s: float
    frames: int
    best_quality: float
    best_frame: int
    is_real: bool | None
    antispoof_score: float | None
    judgements: int
    who: str | None
    distance: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppearanceRecord(Record):
    """A watched person appears. `verified` as in a verification: near enough and, where liveness was asked for, real.

    `revised`: the track's verdict has changed since the last such line of this track.
    """

    type: ClassVar[str] = "appearance"

    frame: int
    media_s: float
    track: int
    who: str
    distance: float
    threshold: float
    verified: bool
    is_real: bool | None
    antispoof_score: float | None
    revised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRecord(Record):
    """What becomes of a camera, and its counts so far: read = sent + dropped, sent = answered + failed at the end."""

    type: ClassVar[str] = "camera"

    event: Literal["started", "lost", "back", "ended", "failed"]
    reason: str | None
    read: int
    sent: int
    dropped: int
    answered: int
    failed: int
