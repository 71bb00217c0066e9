"""The lines of results: their schema, which docs/camera.md explains. A change that a reader may notice is a version.

JSON-ready and flat; null says "not checked", "not asked for" or "nobody", never "fake".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, ClassVar, Literal, TypedDict

VERSION = 1

CameraEvent = Literal["started", "lost", "back", "ended", "failed"]

# Decimals: a hundredth of a pixel, a millisecond, a ten-thousandth of all else. More would be float32's noise.
_DECIMALS = {"box": 2, "landmarks": 2, "media_s": 3, "first_s": 3, "last_s": 3}
_OTHER_DECIMALS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line. `camera` is the source's name; `wall_s` is Unix time, written as ISO 8601, UTC, in `time`."""

    type: ClassVar[str]

    camera: str
    wall_s: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, numbers rounded, texts valid Unicode."""
        values = asdict(self)
        time = datetime.fromtimestamp(values.pop("wall_s"), timezone.utc).isoformat(timespec="milliseconds")
        rounded = {name: _rounded(value, _DECIMALS.get(name, _OTHER_DECIMALS)) for name, value in values.items()}
        return {"v": VERSION, "type": self.type, "time": time.replace("+00:00", "Z"), **rounded}


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
class FrameRecord(Record):
    """A frame without a face, or one that failed: then `error` is the error's class name.

    A failed one may have faces beside this line, not judged in it. So each frame that was answered or failed has one.
    """

    type: ClassVar[str] = "frame"

    frame: int
    media_s: float
    error: str | None


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


class AskedOf(TypedDict):
    """What a run asks of a camera's frames: with which options, and how they travel."""

    anti_spoofing: bool
    embeddings: bool
    min_score: float | None
    judge_every_s: float
    transport: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRecord(Record):
    """What becomes of a camera, and its counts so far: read = sent + dropped, sent = answered + failed at the end.

    `asked` is told once, when it has started.
    """

    type: ClassVar[str] = "camera"

    event: CameraEvent
    reason: str | None
    asked: AskedOf | None
    read: int
    sent: int
    dropped: int
    answered: int
    failed: int


def _rounded(value: Any, decimals: int) -> Any:
    if isinstance(value, float):
        return round(value, decimals)
    if isinstance(value, str):
        return value.encode(errors="replace").decode()  # a lone surrogate, of a file name, is no valid Unicode
    if isinstance(value, tuple):
        return [_rounded(each, decimals) for each in value]
    return value
