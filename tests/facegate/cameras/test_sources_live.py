from __future__ import annotations

import io
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import cv2
import pytest

from facegate.cameras.frame import Frame, Source, SourceError
from facegate.cameras.sources import decoded, media_clock
from facegate.cameras.sources import live as reconnect
from facegate.cameras.sources.open_source import open_source
from facegate.cameras.sources.spec import SourceSpec, parse
from support.http_camera import HttpCamera
from support.made_videos import number_of, picture, write_video
from support.rtsp_server import RtspCamera


class Told:
    """What a source tells. `when` is called at each loss."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.when: Callable[[], object] = lambda: None

    def lost(self, reason: str) -> None:
        self.events.append(f"lost: {reason}")
        self.when()

    def back(self) -> None:
        self.events.append("back")

    def warned(self, what: str) -> None:
        self.events.append(f"warned: {what}")

    def skipped(self, what: str) -> None:
        self.events.append(f"skipped: {what}")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "LEAST_WAIT_S", 0.02)
    monkeypatch.setattr(reconnect, "LONGEST_WAIT_S", 0.05)


@contextmanager
def live(text: str, told: Told) -> Iterator[Source]:
    source = open_source(parse(text), told)
    assert source.live
    try:
        yield source
    finally:
        source.close()


def until_lost(text: str, told: Told) -> list[Frame]:
    """All frames up to the first loss."""
    with live(text, told) as source:
        told.when = source.close
        return list(source.frames())


def ends(thread: threading.Thread) -> bool:
    thread.join(60)
    return not thread.is_alive()


@pytest.mark.parametrize("declared_s", [None, 20])
def test_an_rtsp_camera_goes_and_comes_back(
    told: Told, declared_s: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_clock, "MOST_BEHIND_S", math.inf)  # the machine may stand still
    with RtspCamera() as camera, live(f"rtsp://127.0.0.1:{camera.port}/live", told) as source:
        camera.declared_s = declared_s
        told.when = camera.start
        frames = source.frames()
        seen = list(islice(frames, 20))
        camera.stop()
        while "back" not in told.events:
            seen.append(next(frames))
        seen += islice(frames, 5)
    assert told.events == ["lost: the stream ended", "back"]
    assert [frame.index for frame in seen] == list(range(len(seen)))
    times = [frame.media_s for frame in seen]
    assert times[:20] == pytest.approx([number / 25 for number in range(20)], abs=0.001)
    assert times == sorted(set(times))
    again = number_of(seen[-6].pixels)  # from the stream's beginning, and a frame each
    assert [number_of(frame.pixels) for frame in seen[-5:]] == [again + number for number in range(1, 6)]


def test_a_camera_that_is_not_there_yet_is_waited_for(told: Told) -> None:
    with RtspCamera() as camera, live(f"rtsp://127.0.0.1:{camera.port}/live", told) as source:
        camera.stop()
        told.when = camera.start
        assert next(source.frames()).index == 0
    assert told.events == ["lost: Connection refused", "back"]


def test_a_camera_that_answers_and_gives_no_frames(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "TIMEOUT_S", 2)
    with RtspCamera() as camera:
        camera.silent = True
        assert until_lost(f"rtsp://127.0.0.1:{camera.port}/live", told) == []
        assert camera.played == 1
    assert told.events == ["lost: no frame within 2 s"]


def test_credentials_are_used_and_never_told(told: Told) -> None:
    with RtspCamera("me", "pass word") as camera:
        with live(f"rtsp://me:pass%20word@127.0.0.1:{camera.port}/live", told) as source:
            assert source.name == f"127.0.0.1:{camera.port}/live"
            assert next(source.frames()).index == 0
        assert until_lost(f"rtsp://me:wr0ng@127.0.0.1:{camera.port}/live", told) == []
    assert told.events == ["lost: refused: check user and password"]


def test_a_wrong_password_is_not_tried_again_soon(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[tuple[int, bool]] = []

    def noted(failures: int, refused: bool) -> float:
        pauses.append((failures, refused))
        return 0.0

    assert reconnect.pause_s(1, refused=True) == reconnect.LONGEST_WAIT_S
    monkeypatch.setattr(reconnect, "pause_s", noted)
    with HttpCamera() as camera, live(f"http://{camera.address}/live", told) as source:
        camera.errors["/live"] = [403, 401, 404]
        assert next(source.frames()).index == 0
    assert pauses == [(1, True), (2, True), (3, False)]
    assert told.events == ["lost: refused: check user and password", "back"]


@pytest.mark.parametrize("failures", [1, 3, 10**6])
def test_a_pause_before_another_try_is_within_its_limits(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "LEAST_WAIT_S", 0.5)
    monkeypatch.setattr(reconnect, "LONGEST_WAIT_S", 30.0)
    pauses = [reconnect.pause_s(failures, refused=False) for _ in range(100)]
    assert 0.5 <= min(pauses) < max(pauses) <= min(30, 2 ** min(failures - 1, 9))


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_host_that_nobody_knows_and_a_silent_ffmpeg(
    told: Told, scheme: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert until_lost(f"{scheme}://me:secret@nohost.invalid/x", told) == []
    assert told.events == ["lost: cannot be reached: check the name and the network"]
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_a_page_is_no_video(told: Told) -> None:
    with HttpCamera() as camera:
        camera.files["/login"] = b"<html>Who are you?</html>" * 99
        assert until_lost(f"http://{camera.address}/login", told) == []
    assert told.events == ["lost: cannot be read as video: check the path"]


def test_multipart_jpeg_has_the_clocks_times(told: Told) -> None:
    with HttpCamera() as camera, live(f"http://{camera.address}/live?key=secret", told) as source:
        frames = list(islice(source.frames(), 20))
    assert [frame.index for frame in frames] == list(range(20))
    assert len({number_of(frame.pixels) for frame in frames}) == 20
    assert frames[-1].media_s == pytest.approx(frames[-1].read_s - frames[0].read_s, abs=0.05)
    assert not told.events


def test_each_connection_that_breaks_off_is_one_outage(told: Told) -> None:
    with HttpCamera() as camera, live(f"http://{camera.address}/live", told) as source:
        camera.frames = 12
        frames = list(islice(source.frames(), 30))
        assert camera.connections >= 3
    assert [frame.index for frame in frames] == list(range(30))
    assert told.events == ["lost: reading broke off", "back"] * 2


def test_many_failures_are_one_outage(told: Told) -> None:
    with HttpCamera() as camera, live(f"http://{camera.address}/live", told) as source:
        camera.errors["/live"] = [404, 503, 404, 500]
        assert next(source.frames()).index == 0
        assert not camera.errors["/live"]
    assert told.events == ["lost: nothing there: check the path", "back"]


def test_a_limit_below_the_wait_for_frames_is_no_outage(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "TIMEOUT_S", 1.5)  # shorter than the limit's two seconds
    with HttpCamera() as camera, live(f"http://{camera.address}/live#fps=0.5", told) as source:
        frames = list(islice(source.frames(), 2))
    assert frames[1].media_s > 1.5
    assert not told.events


def test_close_ends_a_read_that_waits_for_a_frame(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "TIMEOUT_S", 3600)
    monkeypatch.setattr(decoded, "TIMEOUT_S", 3600)
    with HttpCamera() as camera, live(f"http://{camera.address}/live", told) as source:
        frames = source.frames()
        next(frames)
        camera.stalled.set()
        reading = threading.Thread(target=list, args=(frames,), daemon=True)
        reading.start()
        source.close()
        source.close()
        assert ends(reading)
    assert not told.events


def test_close_ends_the_wait_before_another_try(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "LEAST_WAIT_S", 3600)
    monkeypatch.setattr(reconnect, "LONGEST_WAIT_S", 3600)
    source = open_source(parse("rtsp://127.0.0.1:9/live"), told)
    waiting = threading.Event()
    told.when = waiting.set
    reading = threading.Thread(target=lambda: list(source.frames()), daemon=True)
    reading.start()
    assert waiting.wait(60)
    source.close()
    assert ends(reading)
    assert list(source.frames()) == []


def test_a_device_that_hangs_holds_one_thread_however_long(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    tries, hangs = [], threading.Event()

    @contextmanager
    def hanging(spec: SourceSpec, live: bool) -> Iterator[None]:
        tries.append(spec.name)
        hangs.wait(60)
        raise decoded.Broken("Input/output error")
        yield

    monkeypatch.setattr(reconnect, "opened", hanging)
    monkeypatch.setattr(reconnect, "TIMEOUT_S", 0.01)
    with live("/dev/video0", told) as source:
        reading = threading.Thread(target=lambda: list(source.frames()), daemon=True)
        lost = threading.Event()
        told.when = lost.set
        reading.start()
        assert lost.wait(60)
        reading.join(0.3)  # long enough for many more tries
        assert reading.is_alive() and tries == ["video0"]
        source.close()
        assert ends(reading)
        hangs.set()
    assert told.events == ["lost: no frame within 0 s"]


def test_a_webcam_that_is_not_plugged_in(told: Told) -> None:
    assert until_lost("/dev/video987", told) == []
    assert told.events == ["lost: No such file or directory"]


def test_what_no_waiting_mends_is_an_error(told: Told) -> None:
    with HttpCamera() as camera, live(f"http://me:secret@{camera.address}/live#roi=0,0,999,9", told) as source:
        with pytest.raises(SourceError, match=r"^roi=0,0,999,9 does not lie in the frame of 160x120$") as error:
            list(source.frames())
        assert "secret" not in str(error.value)


def test_a_size_that_does_not_fit_after_one_that_did_is_an_outage(told: Told) -> None:
    with HttpCamera() as camera, live(f"http://{camera.address}/live#roi=100,0,60,120", told) as source:
        frames = source.frames()
        next(frames)
        camera.size = (80, 60)
        told.when = lambda: setattr(camera, "size", (160, 120))
        while "back" not in told.events:
            assert next(frames).pixels.shape == (120, 60, 3)
    assert told.events == ["lost: roi=100,0,60,120 does not lie in the frame of 80x60", "back"]


def test_a_stream_that_says_when_it_ends_is_not_played_again(tmp_path: Path, told: Told) -> None:
    with HttpCamera() as camera:
        video = write_video(tmp_path / "a.mp4", 10, options={"movflags": "faststart"})
        camera.files["/video"] = video.read_bytes()
        with live(f"http://{camera.address}/video", told) as source:
            told.when = source.close
            assert [number_of(frame.pixels) for frame in source.frames()] == list(range(10))
    assert not told.events


@pytest.mark.parametrize("codec", ["mjpeg", "libx264"])
def test_a_bare_stream_of_a_known_length_is_read_once(told: Told, codec: str) -> None:
    form = "mjpeg" if codec == "mjpeg" else "h264"
    with HttpCamera() as camera:
        camera.files["/raw"] = write_video(io.BytesIO(), 4, codec=codec, form=form).getvalue()
        frames = until_lost(f"http://{camera.address}/raw", told)
        assert [number_of(frame.pixels) for frame in frames] == [0, 1, 2, 3] and not told.events
        camera.sent = 0.6
        assert len(until_lost(f"http://{camera.address}/raw", told)) < 4
    assert len(told.events) == 1  # the connection broke off


def playlist(*segments: str) -> bytes:
    listed = "".join(f"#EXTINF:1,\n{segment}\n" for segment in segments)
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{listed}#EXT-X-ENDLIST\n".encode()


def test_a_playlist_whose_end_does_not_come_is_an_outage(tmp_path: Path, told: Told) -> None:
    with HttpCamera() as camera:
        camera.files["/own.ts"] = write_video(tmp_path / "own.ts", 25).read_bytes()
        camera.files["/own.m3u8"] = playlist("own.ts", "gone.ts")
        assert len(until_lost(f"http://{camera.address}/own.m3u8", told)) == 25
    assert told.events == ["lost: the stream ended"]


@pytest.mark.parametrize(
    "segment",
    [
        "file://{local}",
        "{local}",
        "concat:{local}",
        "subfile,,start,0,end,99999,,:{local}",
        "crypto:{local}",
        "/elsewhere.ts",
    ],
)
def test_a_hostile_playlist_reads_no_local_file(tmp_path: Path, told: Told, segment: str) -> None:
    local = write_video(tmp_path / "local.ts", 25)
    with HttpCamera() as camera:
        camera.files |= {"/own.ts": local.read_bytes(), "/own.m3u8": playlist("own.ts")}
        camera.files["/hostile.m3u8"] = playlist(segment.format(local=local))
        camera.redirects["/elsewhere.ts"] = f"file://{local}"
        with live(f"http://{camera.address}/own.m3u8", told) as source:
            told.when = source.close
            assert len(list(source.frames())) == 25  # HLS itself is read
        assert until_lost(f"http://{camera.address}/hostile.m3u8", told) == []
    assert len(told.events) == 1 and str(local) not in told.events[0]


def test_a_camera_of_a_frame_a_second_gives_each_when_the_next_begins(told: Told) -> None:
    """FFmpeg knows that a frame of H.264 is complete when it sees the next one."""
    with RtspCamera(every_s=1.0) as camera, live(f"rtsp://127.0.0.1:{camera.port}/live", told) as source:
        began_s = time.monotonic()
        frames = list(islice(source.frames(), 2))
    assert [number_of(frame.pixels) for frame in frames] == [0, 1]
    assert frames[0].read_s - began_s < 1.8
    assert frames[1].read_s - frames[0].read_s > 0.5  # not both at once
    assert not told.events


def test_packets_without_frames_are_signs_of_life(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "TIMEOUT_S", 0.8)
    with RtspCamera(every_s=0.3) as camera:
        camera.units = camera.units[1:]  # the first key frame is the fifth
        with live(f"rtsp://127.0.0.1:{camera.port}/live", told) as source:
            assert next(source.frames()).index == 0
    assert not told.events


@pytest.mark.parametrize("every_s", [0.02, 0.2])
def test_a_slow_camera_that_stalls_is_lost(told: Told, every_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(reconnect, "LEAST_TIMEOUT_S", 0.4)
    with (
        RtspCamera(every_s=every_s) as camera,
        live(f"rtsp://127.0.0.1:{camera.port}/live", told) as source,
    ):
        told.when = source.close
        threading.Timer(1.3, camera.stalled.set).start()
        frames = list(source.frames())
    assert len(frames) > 4
    assert len(told.events) == 1 and told.events[0].startswith("lost: no frame within ")


def test_multipart_jpeg_of_few_frames_a_second(told: Told) -> None:
    with HttpCamera() as camera, live(f"http://{camera.address}/live", told) as source:
        camera.every_s, camera.size = 1.0, (640, 480)
        began_s = time.monotonic()
        frames = list(islice(source.frames(), 2))
    assert [number_of(frame.pixels) for frame in frames] == [0, 1]
    assert frames[0].read_s - began_s < 0.8
    assert [frame.media_s for frame in frames] == pytest.approx([0, 1], abs=0.3)
    assert not told.events


JPEG_PART = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    ("kind", "start", "part", "end"),
    [
        ("video/x-motion-jpeg", b"", b"", b""),
        ("image/jpeg", b"", b"", b""),
        ("multipart/x-mixed-replace; boundary=frame", b"", JPEG_PART, b"\r\n--frame\r\n"),
        ("multipart/x-mixed-replace;boundary=frame", b"", b"", b"\r\n--frame\r\n" + JPEG_PART[:-2]),
        ("multipart/x-mixed-replace; boundary=--frame", b"\r\n", b"--frame\r\n" + JPEG_PART, b""),
    ],
    ids=["bare", "bare as a picture", "no boundary", "no headers", "no line before the boundary"],
)
def test_jpeg_streams_of_all_kinds(told: Told, kind: str, start: bytes, part: bytes, end: bytes) -> None:
    with HttpCamera() as camera, live(f"http://{camera.address}/live", told) as source:
        camera.kind, camera.start, camera.part, camera.end = kind, start, part, end
        frames = list(islice(source.frames(), 6))
    numbers = [number_of(frame.pixels) for frame in frames]
    assert numbers == list(range(6))
    assert not told.events


@pytest.mark.parametrize("part", [b"", JPEG_PART, b"--frame\r\n" + JPEG_PART], ids=["bare", "no boundary", "multipart"])
def test_a_damaged_jpeg_in_a_stream_costs_no_other(told: Told, part: bytes) -> None:
    def damaged(number: int, jpeg: bytes) -> bytes:
        return bytes(len(jpeg)) if number == 2 and part else jpeg[:300] if number == 4 else jpeg

    with HttpCamera() as camera, live(f"http://{camera.address}/live", told) as source:
        camera.part, camera.changed = part, damaged
        frames = list(islice(source.frames(), 6))
    assert {0, 1, 3, 5} <= {number_of(frame.pixels) for frame in frames}
    assert not told.events


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
@pytest.mark.parametrize("length", [True, False])
def test_a_snapshot_address_is_refused_and_the_remedy_is_named(told: Told, suffix: str, length: bool) -> None:
    with HttpCamera() as camera:
        data = cv2.imencode(suffix, picture(1))[1].tobytes()
        camera.kind, camera.start, camera.frames = "image/jpeg", data, 0
        camera.files["/snapshot"] = data
        path = "snapshot" if length else "live"
        with (
            live(f"http://me:secret@{camera.address}/{path}", told) as source,
            pytest.raises(SourceError, match=r"single picture.*stream") as refused,
        ):
            list(source.frames())
    assert not told.events and "secret" not in str(refused.value)
