"""A camera's pictures with their faces drawn in, as a video file."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from io import FileIO
from itertools import chain, count
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from facegate.cameras.frame import Frame
from facegate.cameras.records import FaceRecord
from facegate.cameras.sinks.output import OutputError
from facegate_client.draw import Mark, draw, liveness

_CLOCK = 60_000  # ticks a second: whole ones at 24, 25, 29.97, 30, 50 and 60 fps; MPEG-4 takes 65,535 at most
_NOMINAL_FPS = 30  # a hint to the encoder's rate control; each frame has its own time
_KEY_EVERY = 60  # frames; how far a player has to seek, and how much a killed run may lose
# A plain mp4 when closed, and until then one that can be played up to the last key frame (FFmpeg 7.1 and later).
_MP4 = {"movflags": "hybrid_fragmented"}
# Constant quality: 23 is x264's own default, mpeg4's 4 looks about as good. No B-frames: they shift the times.
_ENCODERS = {"libx264": {"preset": "veryfast", "crf": "23", "bf": "0"}, "mpeg4": {"qmin": "4", "qmax": "4"}}

_FAILURES = OSError, av.FFmpegError


class AnnotatedVideo:
    """One mp4: H.264 where FFmpeg was built with libx264, else MPEG-4.

    Frames are shown at their media time. The first one's size, less an odd row or column, is the video's; others are
    fitted in, with black beside them. A file that is there already is left alone, and NAME-2.mp4 written beside it. The
    methods block, may be called from any thread, and raise OutputError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # a cancelled task leaves its thread at work, and FFmpeg would crash
        self._stream: VideoStream | None = None
        self._last = -1
        self._container: OutputContainer | None = None
        try:  # here, as FFmpeg would open it with the first frame, and take a name with a colon for an address
            self._path, self._file = _open_new(path)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            raise self._error("open", error) from error
        self._container = av.open(self._file, "w", format="mp4", options=_MP4)

    def add(self, frame: Frame, faces: Sequence[FaceRecord]) -> None:
        """The next frame, and the faces in it. Raises ValueError after `close`."""
        picture = draw(frame.pixels, map(mark, faces))
        with self._lock:
            if self._container is None:
                raise ValueError(f"{self._path} is closed")
            try:
                self._encode(self._container, picture, frame.media_s)
            except _FAILURES as error:
                self._give_up()
                raise self._error("write to", error) from error

    def close(self) -> None:
        """Finishes the file, any number of times. Without a frame there is no video, and no file."""
        with self._lock:
            container, stream, self._container, self._stream = self._container, self._stream, None, None
            if container is None:
                return
            try:
                if stream is not None:
                    container.mux(stream.encode(None))
                container.close()
            except _FAILURES as error:
                raise self._error("finish", error) from error
            finally:
                self._file.close()
        if stream is None:
            self._path.unlink(missing_ok=True)

    def _encode(self, container: OutputContainer, picture: NDArray[np.uint8], media_s: float) -> None:
        stream = self._stream = self._stream or _new_stream(container, picture)
        image = av.VideoFrame.from_ndarray(_fit(picture, stream.width, stream.height), format="bgr24")
        image.pts = self._last = max(round(media_s * _CLOCK), self._last + 1)
        image.time_base = Fraction(1, _CLOCK)
        container.mux(stream.encode(image))

    def _give_up(self) -> None:
        """Leaves the file as it is: closing it properly would only fail again."""
        container, self._container, self._stream = self._container, None, None
        with suppress(*_FAILURES):
            if container is not None:
                container.close()
        self._file.close()

    def _error(self, what: str, error: Exception) -> OutputError:
        return OutputError(f"cannot {what} {self._path}: {getattr(error, 'strerror', None) or error}")


def _open_new(path: Path) -> tuple[Path, FileIO]:
    """A file that was not there, of the first name that is free, and that name."""
    names = chain([path], (path.with_stem(f"{path.stem}-{number}") for number in count(2)))
    while True:
        free = next(names)
        with suppress(FileExistsError):
            return free, free.open("xb", buffering=0)


def mark(face: FaceRecord) -> Mark:
    """What is drawn of a tracked face: its track's number, who it is where known, and its track's liveness."""
    word, colour = liveness(face.is_real, face.antispoof_score)
    name = f" {face.who}" if face.who is not None else ""
    return Mark(face.box, face.landmarks, f"#{face.track}{name}  {word}", colour)


def _new_stream(container: OutputContainer, picture: NDArray[np.uint8]) -> VideoStream:
    encoder = next(name for name in _ENCODERS if name in av.codecs_available)
    stream = cast(VideoStream, container.add_stream(encoder, rate=_NOMINAL_FPS, options=_ENCODERS[encoder]))
    height, width = picture.shape[:2]
    stream.width, stream.height = max(2, width - width % 2), max(2, height - height % 2)  # yuv420p halves the colours
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, _CLOCK)
    stream.codec_context.gop_size = _KEY_EVERY
    stream.codec_context.thread_count = 1  # there may be many cameras
    return stream


def _fit(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """`picture` in `width` x `height`: as it is where it is at most a row and a column larger, else scaled."""
    tall, wide = picture.shape[:2]
    if 0 <= tall - height <= 1 and 0 <= wide - width <= 1:
        return np.ascontiguousarray(picture[:height, :width])
    scale = min(width / wide, height / tall)
    size = max(1, round(wide * scale)), max(1, round(tall * scale))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    fitted = np.zeros((height, width, 3), np.uint8)
    fitted[top : top + size[1], left : left + size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return fitted
