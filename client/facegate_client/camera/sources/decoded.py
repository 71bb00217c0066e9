"""Video opened and decoded by FFmpeg (PyAV), which is given nothing but what a source may be.

The lists of formats and protocols keep out what makes FFmpeg open something else than it was told to: playlists in
files, concat, SDP, DASH, image sequences. HLS is read over HTTP alone, and so is all that it names.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from facegate_client.camera.frame import Frame, SourceError
from facegate_client.camera.sources.shaping import Shaping, check_size
from facegate_client.camera.sources.spec import SourceSpec
from facegate_client.contract import MAX_PIXELS

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream
    from av.container import InputContainer

TIMEOUT_S = 10.0
"""How long a connection may take, and then each frame."""

_KNOWN = "MP4, MOV, MKV, WebM, AVI, MPEG, FLV, OGG, WMV, IVF, H.264, HEVC, MJPEG"  # of _FILES, in users' words
_FILES = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,ogg,asf,ivf,h264,hevc,mjpeg,mpjpeg"
_STREAMS = f"{_FILES},hls,aac,mp3,ac3,eac3,webvtt"  # with what HLS may have beside the video
_USUAL_STEP_S = 0.04
_DURATION = re.compile(r"(\d+):(\d+):(\d+\.?\d*)")  # the tag of a track, as muxers write it


class Broken(Exception):
    """A video cannot be opened, or read any further. The message is one line and names no source."""


class Refused(Broken):
    """User and password are not accepted. Cameras lock out who tries wrong ones too often."""


class Video:
    """A video that is open."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self._step_s = float(1 / stream.average_rate) if stream.average_rate else _USUAL_STEP_S
        self._timeless = container.format.name == "mpjpeg"  # its times are FFmpeg's guess of 25 frames a second
        self._last_s = 0.0
        self.begun = False  # whether a frame was decoded

    def frames(self, shaping: Shaping, broken: Callable[[], None]) -> Iterator[Frame | None]:
        """The frames, None for each that is limited away. `broken` is called for what is skipped. Raises Broken."""
        for packet in self._container.demux(self._stream):
            for picture in self._pictures(packet, broken):
                self.begun = True
                self._last_s = max(self._last_s, picture.time or 0.0)
                yield shaping.frame(picture, None if self._timeless else picture.time, self._step_s)

    def check_end(self) -> None:
        """After the last frame: raises Broken where the file said that it was longer.

        FFmpeg itself takes the end of a file that was cut off for an end. Half a second is forgiven; MPEG streams and
        fragmented MP4 say nothing of their length.
        """
        promised_s = self._promised_s()
        if promised_s is not None and not self._reached(promised_s):
            raise Broken(f"damaged or cut off: it ends at {self._last_s:.1f} s of {promised_s:.1f} s")

    def complete(self) -> bool:
        """After the last frame: this was the end that the stream declared, and not the connection's."""
        if self._container.format.name == "rtsp":  # cameras declare what they like, and say nothing at its end
            return False
        promised_s = self._promised_s()
        return bool(self._container.duration) if promised_s is None else self._reached(promised_s)

    def _reached(self, promised_s: float) -> bool:
        return self._last_s + 2 * self._step_s >= promised_s - 0.5

    def _pictures(self, packet: Packet[VideoStream], broken: Callable[[], None]) -> list[VideoFrame]:
        if packet.is_corrupt:  # it breaks off: decoders that do not mind give half a picture
            broken()
            return []
        try:
            pictures = self._stream.decode(packet)
        except pyav().error.FFmpegError:
            broken()
            return []
        sound = [picture for picture in pictures if not picture.is_corrupt]
        if len(sound) < len(pictures):
            broken()
        return sound

    def _promised_s(self) -> float | None:
        kind, stream = self._container.format.name.split(",")[0], self._stream
        if kind == "avi" and stream.frames:
            return stream.frames * self._step_s
        if kind == "mov" and stream.duration and stream.time_base and self._container.duration:
            # A trimmed file's track is longer than what is to be shown of it; the whole may have longer sound.
            return min(float(stream.duration * stream.time_base), self._container.duration / 1e6)
        if kind == "hls" and self._container.duration:  # the sum of its playlist, from its first segment on
            return ((self._container.start_time or 0) + self._container.duration) / 1e6
        if kind == "matroska" and (written := _DURATION.fullmatch(stream.metadata.get("DURATION", ""))):
            hours, minutes, seconds = map(float, written.groups())
            return hours * 3600 + minutes * 60 + seconds
        return None


@contextmanager
def opened(spec: SourceSpec, live: bool) -> Iterator[Video]:
    """The video at the source's address.

    Raises Broken on whatever may be otherwise another time, and SourceError on what will not; neither names the source.
    """
    error_types = pyav().error
    video = None
    try:
        with _container(spec) as container:
            video = Video(container, _video_stream(container, live))
            yield video
    except (error_types.ProtocolNotFoundError, error_types.DecoderNotFoundError) as error:
        raise SourceError(f"FFmpeg cannot: {error.strerror}") from error
    except error_types.FFmpegError as error:
        if isinstance(error, error_types.HTTPUnauthorizedError | error_types.HTTPForbiddenError):
            raise Refused("refused: check user and password") from error
        raise Broken(_reason(error, spec, live, video)) from error


def pyav() -> Any:
    """The module av, imported only where video is read; raises ImportError naming the extra."""
    try:
        import av
    except ImportError as error:
        raise ImportError("video needs PyAV: pip install 'facegate-client[camera]'") from error
    return av


def _container(spec: SourceSpec) -> Any:
    options = {"max_pixels": str(MAX_PIXELS)}
    if spec.kind == "path":
        address = f"file:{os.path.abspath(spec.address)}"  # a name like http:x is a file's all the same
        options |= {"protocol_whitelist": "file", "format_whitelist": _FILES}
    elif spec.kind == "device":
        address = spec.address
        options |= {"format_whitelist": "video4linux2,v4l2"}
    else:
        address = f"{spec.scheme}:{spec.address.partition(':')[2]}"
        if spec.scheme.startswith("rtsp"):
            options |= {"protocol_whitelist": "rtp,tcp,tls", "format_whitelist": "rtsp", "rtsp_transport": "tcp"}
        else:
            options |= {"protocol_whitelist": "http,https,tcp,tls,crypto", "format_whitelist": _STREAMS}
    return pyav().open(
        address,
        format="video4linux2" if spec.kind == "device" else None,
        options=options,
        metadata_errors="replace",
        timeout=TIMEOUT_S,
    )


def _video_stream(container: InputContainer, live: bool) -> VideoStream:
    if not container.streams.video:
        raise Broken("there is no video in it")
    stream = container.streams.video[0]
    decoder = stream.codec_context
    if decoder is None:
        raise SourceError("FFmpeg has no decoder for its video")
    check_size(decoder.width, decoder.height)
    decoder.options = {"max_pixels": str(MAX_PIXELS)}  # for a size that changes, before memory is taken
    # Frames decoded in parallel come that much later, and a machine with many cameras has as many threads anyway.
    decoder.thread_type, decoder.thread_count = ("SLICE", 1) if live else ("AUTO", 2)
    return stream


def _reason(error: Any, spec: SourceSpec, live: bool, video: Video | None) -> str:
    """What happened and what to do, or FFmpeg's words without the address, which its exceptions' own text has."""
    error_types = pyav().error
    if isinstance(error, error_types.ExitError):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(error, error_types.InvalidDataError | error_types.ArgumentError):
        if video is not None and video.begun:
            return "cannot be read any further"
        remedies = {"path": f"; known are {_KNOWN}", "stream": ": check the path"}
        return f"cannot be read as video{remedies.get(spec.kind, '')}"
    if isinstance(error, error_types.HTTPNotFoundError):
        return "nothing there: check the path"
    if error.errno == errno.EIO:
        if spec.kind == "stream" and video is None:  # a name that nobody knows, too
            return "cannot be reached: check the name and the network"
        if spec.kind == "stream" and not live and video is not None and not video.begun:
            return "cannot be read from where it is: download it first"
        return "reading broke off"
    return str(error.strerror)
