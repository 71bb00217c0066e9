"""Video opened and decoded by FFmpeg (PyAV), which is given nothing but what a source may be.

The lists of formats and protocols keep out what makes FFmpeg open something else than it was told to: playlists in
files, concat, SDP, DASH, image sequences. HLS is read over HTTP alone, and so is all that it names; over HTTPS alone
where certificates are verified.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from facegate.cameras.frame import Frame, SourceError
from facegate.cameras.sources.cut_off import is_cut_off
from facegate.cameras.sources.shaping import Shaping, check_size
from facegate.cameras.sources.spec import SourceSpec
from facegate.cameras.sources.tls import open_verified, tls_options, verifies
from facegate_client.contract import MAX_PIXELS
from facegate_client.errors import printable

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream
    from av.container import InputContainer

TIMEOUT_S = 10.0
"""How long a connection to a file behind a URL may take, and then each read."""
LIVE_TIMEOUT_S = 30.0
"""Timeout of a live source. Opening it includes its first packet, and cameras may send only one in 15 s."""

_KNOWN = "MP4, MOV, MKV, WebM, AVI, MPEG, FLV, OGG, WMV, IVF, H.264, HEVC, MJPEG"  # of _FILES, in users' words
_FILES = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,ogg,asf,ivf,h264,hevc,mjpeg,mpjpeg"
_STREAMS = f"{_FILES},aac,mp3,ac3,eac3,webvtt"  # with what HLS may have beside the video
_TIMELESS = ("mpjpeg", "mjpeg")  # their times are FFmpeg's guess of 25 frames a second
_COVER_ART = 1 << 10 | 1 << 11  # AV_DISPOSITION_ATTACHED_PIC and _TIMED_THUMBNAILS; AV_DISPOSITION_DEFAULT is 1
_JPEG = re.compile(rb"(?:[\x20-\x7e]*\r?\n)*\xff\xd8\xff")  # after its headers, in a multipart stream
_PICTURE = re.compile(rb"\x89PNG|GIF8|BM|RIFF....WEBP", re.DOTALL)
_SINGLE_PICTURE = "is a single picture: give the address of the camera's MJPEG or RTSP stream, or a folder of pictures"
_USUAL_STEP_S = 0.04
_DURATION = re.compile(r"(\d+):(\d+):(\d+\.?\d*)")  # the tag of a track, as muxers write it


class Broken(Exception):
    """A video cannot be opened, or read any further. The message is one line and names no source."""


class Refused(Broken):
    """User and password are not accepted. Cameras lock out who tries wrong ones too often."""


class Video:
    """A video that is open."""

    def __init__(self, container: InputContainer, stream: VideoStream, spec: SourceSpec, live: bool) -> None:
        self._container = container
        self._stream = stream
        self._spec = spec
        self._live = live
        self._step_s = float(1 / stream.average_rate) if stream.average_rate else None
        self._timeless = container.format.name in _TIMELESS
        declared, coded = stream.sample_aspect_ratio, stream.codec_context.sample_aspect_ratio
        self._container_sar = declared if declared != coded else None  # FFmpeg prefers it to the frames' own
        self._last_s = self._end_s = 0.0
        self.begun = False  # whether a frame was decoded

    def frames(self, shaping: Shaping, broken: Callable[[], None]) -> Iterator[Frame | None]:
        """The frames, None for each packet that gives none: not yet, or one that is limited away.

        `broken` is called for what is skipped. Raises Broken, and SourceError where a stream is a single picture.
        """
        for packet in self._packets():
            pictures = self._pictures(packet, broken)
            for picture in pictures:
                self.begun = True
                time_s = picture.time or 0.0
                step_s = self._step_s or self._observed_step_s(time_s)
                lasts_s = float(picture.duration * (picture.time_base or 0)) or step_s
                self._last_s = max(self._last_s, time_s)
                self._end_s = max(self._end_s, time_s + lasts_s)
                jpeg = bytes(packet) if self._stream.codec_context.name == "mjpeg" else None
                yield shaping.frame(picture, jpeg, None if self._timeless else picture.time, step_s, self._sar())
            if not pictures:
                yield None

    def check_end(self) -> None:
        """After the last frame: raises Broken where the file said that it was longer.

        FFmpeg itself takes the end of a file that was cut off for an end. A local file is compared with the sizes that
        are written in it, one behind a URL with its duration, of which half a second is forgiven. MPEG streams say
        nothing of their length.
        """
        promised_s = self._promised_s()
        if self._spec.kind == "path":
            complete = not is_cut_off(self._spec.address)
        else:
            complete = promised_s is None or self._reached(promised_s)
        if not complete:
            of = "" if promised_s is None else f" of {promised_s:.1f} s"
            raise Broken(f"damaged or cut off: it ends at {self._last_s:.1f} s{of}")

    def complete(self) -> bool:
        """After the last frame: this was the end that the stream declared, and not the connection's."""
        if self._container.format.name == "rtsp":  # cameras declare what they like, and say nothing at its end
            return False
        promised_s = self._promised_s()
        if promised_s is not None:
            return self._reached(promised_s)
        sized = self._container.size > 0 and self._container.format.name != "hls"  # FFmpeg fails where less arrives
        return bool(self._container.duration) or (sized and self.begun)

    def _reached(self, promised_s: float) -> bool:
        step_s = self._step_s or _USUAL_STEP_S
        return max(self._end_s, self._last_s + 2 * step_s) >= promised_s - 0.5

    def _observed_step_s(self, time_s: float) -> float:
        """Returns the seconds since the previous frame, for a stream that declares no frame rate."""
        step_s = time_s - self._last_s if self._last_s and not self._timeless else 0.0
        return step_s if 0 < step_s <= LIVE_TIMEOUT_S else _USUAL_STEP_S

    def _sar(self) -> Fraction | None:
        """Returns the pixels' width divided by their height; None where no positive value is declared."""
        sar = self._spec.sar or self._container_sar or self._stream.codec_context.sample_aspect_ratio
        return sar if sar is not None and sar > 0 else None

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        packets = self._container.demux(self._stream)
        if self._live and self._container.format.name == "mjpeg":  # a stream, or a snapshot
            first = next(packets)
            try:
                second = next(packets)
            except (StopIteration, pyav().error.OSError):
                second = first
            if second is first or not second.size:  # FFmpeg's last packet is empty
                raise SourceError(_SINGLE_PICTURE)
            return chain((first, second), packets)
        return packets

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
            return stream.frames * (self._step_s or _USUAL_STEP_S)
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
        with _container(spec, live) as container:
            video = Video(container, _video_stream(container, live), spec, live)
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
        raise ImportError("video needs PyAV: pip install 'facegate[camera]'") from error
    return av


def _container(spec: SourceSpec, live: bool) -> Any:
    """Opens the container. If FFmpeg does not recognise the format, its first bytes decide."""
    error_types = pyav().error
    verified = spec.scheme == "https" and verifies(spec)
    try:
        return _open(spec, live, _STREAMS if verified else f"{_STREAMS},hls")
    except (error_types.ArgumentError, error_types.InvalidDataError):  # the first is for what is not on the list
        if spec.kind == "device" or spec.scheme.startswith("rtsp"):
            raise
        head = _head(spec, live)
        if _JPEG.match(head):  # bare, or multipart without the boundary that FFmpeg expects at the beginning
            return _open(spec, live, _STREAMS, format="mjpeg")
        if live and _PICTURE.match(head):
            raise SourceError(_SINGLE_PICTURE) from None
        if verified and head.startswith(b"#EXTM3U"):
            return _open(spec, live, "hls,mpegts,mov,aac,mp3,ac3,eac3,webvtt", io_open=partial(open_verified, spec))
        raise


def _head(spec: SourceSpec, live: bool) -> bytes:
    """Returns up to 2 KiB from the source's address."""
    with _open(spec, live, "data", format="data") as container:
        head = b""
        with suppress(pyav().error.OSError):  # the end of what declares no length
            for packet in islice(container.demux(), 2):
                head += bytes(packet)
        return head


def _open(spec: SourceSpec, live: bool, formats: str, **how: Any) -> Any:
    options = {"max_pixels": str(MAX_PIXELS)}
    if spec.kind == "path":
        address = f"file:{os.path.abspath(spec.address)}"  # a name like http:x is a file's all the same
        options |= {"protocol_whitelist": "file", "format_whitelist": "data" if formats == "data" else _FILES}
    elif spec.kind == "device":
        address = spec.address
        options |= {"format_whitelist": "video4linux2,v4l2"}
        how["format"] = "video4linux2"
    else:
        address = f"{spec.scheme}:{spec.address.partition(':')[2]}"
        if spec.scheme.startswith("rtsp"):
            options |= {"protocol_whitelist": "rtp,tcp,tls", "format_whitelist": "rtsp", "rtsp_transport": "tcp"}
            options["probesize"] = "32"  # opening it waits for one packet, and not for a key frame
        else:
            plain = "" if tls_options(spec).get("tls_verify") == "1" else "http,"
            options |= {"protocol_whitelist": f"{plain}https,tcp,tls,crypto", "format_whitelist": formats}
            if live:  # else FFmpeg reads 5 MB of small JPEG pictures before it is sure that they are such
                options["formatprobesize"] = "8192"
        options |= tls_options(spec)
        if live:  # else FFmpeg collects up to 20 frames, or 5 s of them, before it gives the first
            options |= {"fpsprobesize": "0", "max_ts_probe": "0"}
    if "io_open" in how:  # FFmpeg would look for its own connections, to use again, behind what Python reads, and abort
        options |= {"http_persistent": "0", "http_multiple": "0"}
    timeout_s = LIVE_TIMEOUT_S if live else TIMEOUT_S
    return pyav().open(address, options=options, metadata_errors="replace", timeout=timeout_s, **how)


def _video_stream(container: InputContainer, live: bool) -> VideoStream:
    """Returns the largest decodable video stream that is not cover art; of equal ones the default."""
    streams = [each for each in container.streams.video if not int(each.disposition) & _COVER_ART]
    if not streams:
        raise Broken("there is no video in it")

    def rank(stream: VideoStream) -> tuple[bool, int, bool]:
        decoder = stream.codec_context
        area = 0 if decoder is None else decoder.width * decoder.height
        return decoder is not None, area, bool(int(stream.disposition) & 1)

    stream = max(streams, key=rank)
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
        return f"no answer within {LIVE_TIMEOUT_S if live else TIMEOUT_S:.0f} s"
    if isinstance(error, error_types.EOFError):  # where a header should be
        return "damaged or cut off: it ends before its first frame"
    if isinstance(error, error_types.InvalidDataError | error_types.ArgumentError):
        if video is not None and video.begun:
            return "cannot be read any further"
        remedies = {"path": f"; known are {_KNOWN}", "stream": ": check the path"}
        return f"cannot be read as video{remedies.get(spec.kind, '')}"
    if isinstance(error, error_types.HTTPNotFoundError):
        return "nothing there: check the path"
    if error.errno == errno.EIO:
        if spec.kind == "stream" and video is None and verifies(spec):
            authorities = printable(spec.tls_ca or "this system's authorities")
            return f"cannot be reached, or its certificate is not valid for its name and by {authorities} (tls_ca)"
        if spec.kind == "stream" and video is None:  # a name that nobody knows, too
            return "cannot be reached: check the name and the network"
        if spec.kind == "stream" and not live and video is not None and not video.begun:
            return "cannot be read from where it is: download it first"
        return "reading broke off"
    return str(error.strerror)
