from __future__ import annotations

import io
import os
import sys
from collections import deque
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from facegate.cameras.frame import Frame, SourceError
from facegate.cameras.sources.open_source import open_source
from facegate.cameras.sources.spec import parse
from facegate_client import contract
from support.http_camera import HttpCamera
from support.made_videos import number_of, picture, write_video


class Skipped:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warned(self, what: str) -> None:
        raise AssertionError("nothing to warn of")

    def skipped(self, what: str) -> None:
        self.lines.append(what)

    def lost(self, reason: str) -> None:
        raise AssertionError("a file is never lost")

    def back(self) -> None:
        raise AssertionError("a file is never back")


@pytest.fixture
def notices() -> Skipped:
    return Skipped()


def read(text: str | Path, notices: Skipped) -> list[Frame]:
    source = open_source(parse(str(text)), notices)
    assert not source.live
    return list(source.frames())


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mjpeg"), ("a.ts", "libx264"), ("a.webm", "libvpx")],
)
def test_each_frame_of_a_video_once_with_its_time(tmp_path: Path, notices: Skipped, name: str, codec: str) -> None:
    frames = read(write_video(tmp_path / name, 25, codec=codec), notices)
    assert [frame.index for frame in frames] == list(range(25))
    assert [number_of(frame.pixels) for frame in frames] == list(range(25))
    assert [frame.media_s for frame in frames] == pytest.approx([number / 25 for number in range(25)], abs=0.001)
    first = frames[0]
    assert first.pixels.dtype == np.uint8 and first.pixels.shape == (120, 160, 3)
    assert first.pixels.flags.c_contiguous
    assert first.read_s <= frames[1].read_s and first.wall_s <= frames[1].wall_s
    assert np.abs(frames[9].pixels.astype(int) - picture(9)).mean() < 6  # blue, green and red in this order
    assert not notices.lines


def test_a_width_that_ffmpeg_pads_gives_contiguous_pixels(tmp_path: Path, notices: Skipped) -> None:
    frames = read(write_video(tmp_path / "a.mkv", 2, size=(150, 90)), notices)
    assert frames[1].pixels.shape == (90, 150, 3) and frames[1].pixels.flags.c_contiguous


@pytest.mark.parametrize(("turned", "rotate"), [(-90, 0), (None, 90), (90, 180), (180, 270)])
def test_the_files_own_turn_comes_before_the_callers(
    tmp_path: Path, notices: Skipped, turned: float | None, rotate: int
) -> None:
    path = write_video(tmp_path / "a.mp4", 2, turned=turned)
    pixels = read(f"{path}#rotate={rotate}", notices)[1].pixels
    assert pixels.shape == (160, 120, 3) and pixels.flags.c_contiguous
    assert pixels[20, 100, 2] > 200 and pixels[20, 20, 2] < 50  # a quarter to the right, all in all


def test_the_region_is_of_the_turned_frame(tmp_path: Path, notices: Skipped) -> None:
    path = write_video(tmp_path / "a.mkv", 2)
    pixels = read(f"{path}#rotate=90&roi=55,0,65,150", notices)[1].pixels
    assert pixels.shape == (150, 65, 3) and pixels.flags.c_contiguous
    assert pixels[20, 30, 2] > 200 and pixels[120, 30, 2] < 50
    with pytest.raises(SourceError, match=r"roi=55,0,66,150 does not lie in the frame of 120x160"):
        read(f"{path}#rotate=90&roi=55,0,66,150", notices)


def test_a_frame_rate_limit_counts_only_what_it_lets_through(tmp_path: Path, notices: Skipped) -> None:
    frames = read(f"{write_video(tmp_path / 'a.mkv', 25)}#fps=5", notices)
    assert [number_of(frame.pixels) for frame in frames] == [0, 5, 10, 15, 20]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]


def test_a_size_that_changes_in_the_middle(tmp_path: Path, notices: Skipped) -> None:
    path = tmp_path / "a.h264"
    path.write_bytes(
        write_video(io.BytesIO(), 5, form="h264").getvalue()
        + write_video(io.BytesIO(), 5, form="h264", size=(320, 240)).getvalue()
    )
    frames = read(path, notices)
    assert [frame.pixels.shape for frame in frames] == [(120, 160, 3)] * 5 + [(240, 320, 3)] * 5
    times = [frame.media_s for frame in frames]
    assert times == sorted(set(times))


def test_a_video_over_the_limit_is_refused_by_what_it_declares(
    tmp_path: Path, notices: Skipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mkv", 2)
    monkeypatch.setattr(contract, "MAX_PIXELS", 160 * 120 - 1)
    with pytest.raises(SourceError, match=r"160x120 is over the limit of 19,199 pixels"):
        read(path, notices)


def test_a_limit_broken_in_the_middle(tmp_path: Path, notices: Skipped, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h264"
    path.write_bytes(
        write_video(io.BytesIO(), 150, form="h264").getvalue()  # 6 s: FFmpeg looks 5 ahead
        + write_video(io.BytesIO(), 5, form="h264", size=(320, 240)).getvalue()
    )
    monkeypatch.setattr(contract, "MAX_PIXELS", 160 * 120)
    with pytest.raises(SourceError, match=r"320x240 is over the limit.* after frame 149$"):
        read(path, notices)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.mp4", "libx264", {"movflags": "faststart"}), ("a.mkv", "libx264", {}), ("a.avi", "mjpeg", {})],
)
def test_a_file_that_was_cut_off_gives_its_frames_and_says_so(
    tmp_path: Path, notices: Skipped, name: str, codec: str, options: dict[str, str]
) -> None:
    path = write_video(tmp_path / name, 50, codec=codec, options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = open_source(parse(str(path)), notices)
    frames: list[Frame] = []
    with pytest.raises(SourceError, match=rf"^{path}: damaged or cut off: .* of 2.0 s after frame \d+$") as cut:
        deque(map(frames.append, source.frames()))  # those before the error count
    assert str(cut.value).endswith(f"after frame {frames[-1].index}") and len(frames) > 5
    assert [number_of(frame.pixels) for frame in frames] == [frame.index for frame in frames]


def test_damage_in_the_middle_is_skipped_and_told_once(tmp_path: Path, notices: Skipped) -> None:
    path = write_video(tmp_path / "a.avi", 30, codec="mjpeg")
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data) - 1) if data[at : at + 3] == b"\xff\xd8\xff"]
    for at in (10, 11):
        size = starts[at + 1] - 8 - starts[at]  # 8: the next one's chunk header
        data[starts[at] : starts[at] + size] = bytes(size)
    path.write_bytes(data)
    frames = read(path, notices)
    assert [frame.index for frame in frames] == list(range(28))
    assert [number_of(frame.pixels) for frame in frames] == [*range(10), *range(12, 30)]
    assert frames[10].media_s == pytest.approx(12 / 25)
    assert notices.lines == ["damaged after frame 9; that is skipped", "2 damaged parts were skipped"]


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.mp4", b"plain text, which is no video"),
        ("a.mp4", b""),
        ("a.gif", b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"),
        ("a.m3u8", PLAYLIST.encode()),
        ("a.mp4", PLAYLIST.encode()),
        ("a.mp4", b"ffconcat version 1.0\nfile other.ts\n"),
        ("a.sdp", b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 33\n"),
    ],
)
def test_what_is_no_video_or_names_others_is_not_read(
    tmp_path: Path, notices: Skipped, name: str, content: bytes
) -> None:
    write_video(tmp_path / "other.ts", 25)
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"^{path}: cannot be read as video; known are MP4, .*MJPEG$"):
        read(path, notices)


def test_a_name_is_a_files_whatever_it_looks_like(
    tmp_path: Path, notices: Skipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.rename(write_video(tmp_path / "a.mkv", 3), "subfile,,:a#1.mkv")
    assert len(read("subfile,,:a#1.mkv", notices)) == 3


def test_what_is_not_there_or_not_a_file(tmp_path: Path, notices: Skipped) -> None:
    with pytest.raises(SourceError, match=r"^cannot read .*none\.mp4: No such file or directory$"):
        read(tmp_path / "none.mp4", notices)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="neither a file nor a folder"):
        read(tmp_path / "pipe", notices)
    long = open_source(parse("x" * 300), notices)  # opened beside other cameras, which it is not to stop
    with pytest.raises(SourceError, match=r"^cannot read x+: File name too long$"):
        list(long.frames())
    with pytest.raises(SourceError, match=r"^cannot read .*/a\?\[31m\?b\.mp4: No such file or directory$"):
        read(tmp_path / "a\x1b[31m\nb.mp4", notices)


def test_sound_alone_is_no_source(tmp_path: Path, notices: Skipped) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(SourceError, match="there is no video in it"):
        read(tmp_path / "a.mp4", notices)


def test_without_pyav_the_extra_is_named(notices: Skipped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"pip install 'facegate\[camera\]'"):
        open_source(parse("a.mp4"), notices)


def test_close_ends_a_video(tmp_path: Path, notices: Skipped) -> None:
    source = open_source(parse(str(write_video(tmp_path / "a.mkv", 25))), notices)
    frames = source.frames()
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []


def test_a_folder_in_natural_order_at_its_own_rate(tmp_path: Path, notices: Skipped) -> None:
    for number, suffix in enumerate(["jpg", "jpeg", "png", "webp", "bmp"] * 3):
        cv2.imwrite(str(tmp_path / f"shot{number}.{suffix}"), picture(number))
    (tmp_path / "shot2.txt").write_text("no picture")
    (tmp_path / "deeper.png").mkdir()
    frames = read(tmp_path, notices)
    assert [number_of(frame.pixels) for frame in frames] == list(range(15))
    assert [frame.media_s for frame in frames[:3]] == pytest.approx([0, 0.1, 0.2])
    turned = read(f"{tmp_path}#fps=2&rotate=90&roi=0,0,50,160", notices)
    assert turned[1].media_s == 0.5 and turned[1].pixels.shape == (160, 50, 3)


def test_a_picture_that_cannot_be_decoded_is_skipped_and_named(tmp_path: Path, notices: Skipped) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number))
    (tmp_path / "1.png").write_bytes(b"no picture")
    frames = read(f"{tmp_path}#name=door", notices)
    assert [(frame.index, number_of(frame.pixels)) for frame in frames] == [(0, 0), (1, 2)]
    assert notices.lines == ["1.png: not a JPEG, PNG, WebP or BMP file; it is skipped"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_a_picture_over_the_limit_is_skipped(
    tmp_path: Path, notices: Skipped, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, side in enumerate([120, 121, 120]):
        cv2.imwrite(str(tmp_path / f"{number}{suffix}"), picture(number, 160, side))
    monkeypatch.setattr(contract, "MAX_PIXELS", 160 * 120)
    frames = read(tmp_path, notices)
    assert [number_of(frame.pixels) for frame in frames] == [0, 2]
    assert notices.lines == [f"1{suffix}: 160x121 is over the limit of 19,200 pixels, 32,766 a side; it is skipped"]


def test_links_to_nothing_are_told(tmp_path: Path, notices: Skipped) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), picture(1))
    (tmp_path / "2.png").symlink_to("1.png")
    (tmp_path / "3.png").symlink_to("gone.png")
    (tmp_path / "4.png").symlink_to("4.png")
    (tmp_path / "5.txt").symlink_to("gone.txt")
    (tmp_path / "6.png").mkdir()
    assert [number_of(frame.pixels) for frame in read(tmp_path, notices)] == [1, 1]
    assert notices.lines == [f"{name}.png: not a file, or a link to none; it is skipped" for name in (3, 4)]


def test_of_many_bad_pictures_the_first_are_told_and_the_rest_counted(tmp_path: Path, notices: Skipped) -> None:
    cv2.imwrite(str(tmp_path / "good.png"), picture(1))
    (tmp_path / "0\x1b[2J\n.png").symlink_to("gone.png")
    (tmp_path / "1\x1b[2J\n.png").write_bytes(b"")
    for number in range(2, 10):
        (tmp_path / f"{number}.png").write_bytes(b"no picture")
    assert len(read(tmp_path, notices)) == 1
    assert len(notices.lines) == 6 and notices.lines[5] == "5 more were skipped"
    assert notices.lines[0].startswith("0?[2J?.png: ") and notices.lines[1].startswith("1?[2J?.png ")
    assert all(line.isprintable() for line in notices.lines)
    (tmp_path / "good.png").rename(tmp_path / "good\r.png")
    with pytest.raises(SourceError, match=r"^good\?\.png: roi="):
        read(f"{tmp_path}#roi=0,0,999,9", notices)


def test_folders_without_pictures(tmp_path: Path, notices: Skipped) -> None:
    with pytest.raises(SourceError, match=r"no pictures \(.bmp, .jpeg, .jpg, .png, .webp\) in "):
        read(tmp_path, notices)
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"not one picture in .* can be decoded"):
        read(tmp_path, notices)


def test_a_file_behind_a_url_ends_like_any_other(tmp_path: Path, notices: Skipped) -> None:
    with HttpCamera() as server:
        video = write_video(tmp_path / "a.mp4", 10, options={"movflags": "faststart"})
        server.files["/a.mp4"] = video.read_bytes()
        frames = read(f"http://me:secret@{server.address}/a.mp4?key=secret", notices)
        assert [number_of(frame.pixels) for frame in frames] == list(range(10))
        with pytest.raises(SourceError, match=r"/b.mp4: nothing there: check the path$") as missing:
            read(f"http://me:secret@{server.address}/b.mp4?key=secret", notices)
        server.errors["/a.mp4"] = [401]
        with pytest.raises(SourceError, match=r"/a.mp4: refused: check user and password$"):
            read(f"http://{server.address}/a.mp4", notices)
    assert "secret" not in str(missing.value)


def test_a_file_behind_a_url_that_cannot_be_read_from_there(tmp_path: Path, notices: Skipped) -> None:
    with pytest.raises(SourceError, match=r"/a.mp4: cannot be reached: check the name and the network$"):
        read("http://nohost.invalid/a.mp4", notices)
    with HttpCamera() as server:  # which knows no ranges
        large = write_video(tmp_path / "a.mp4", 50, codec="mjpeg", size=(960, 720))  # over what FFmpeg buffers
        server.files["/a.mp4"] = large.read_bytes()
        with pytest.raises(SourceError, match=r"/a.mp4: cannot be read from where it is: download it first$"):
            read(f"http://{server.address}/a.mp4", notices)
        write_video(tmp_path / "b.mp4", 50, codec="mjpeg", size=(960, 720), options={"movflags": "faststart"})
        server.files["/b.mp4"] = (tmp_path / "b.mp4").read_bytes()
        server.sent = 0.6
        with pytest.raises(SourceError, match=r"/b.mp4: reading broke off after frame \d+$"):
            read(f"http://{server.address}/b.mp4", notices)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {}),
        ("a.mp4", "libx264", {"movflags": "faststart"}),
        ("a.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        ("a.mov", "mjpeg", {}),
        ("a.mkv", "libx264", {}),
        ("a.webm", "libvpx", {}),
    ],
)
def test_a_film_whose_last_frame_is_held_is_complete(
    tmp_path: Path, notices: Skipped, name: str, codec: str, options: dict[str, str]
) -> None:
    frames = read(write_video(tmp_path / name, 20, codec=codec, held_s=3, options=options), notices)
    assert [frame.index for frame in frames] == list(range(20)) and not notices.lines


def test_a_film_whose_writer_left_the_last_frames_duration_out_is_complete(tmp_path: Path, notices: Skipped) -> None:
    """As older versions of FFmpeg write Matroska: the track's length has it, its last block does not."""
    path = write_video(tmp_path / "a.mkv", 20, held_s=3)
    data = path.read_bytes()
    at = data.rindex(b"\x9b\x82", 0, data.rindex(b"\x1c\x53\xbb\x6b"))  # BlockDuration, 2 bytes, before the cues
    path.write_bytes(data[:at] + b"\xec\x82" + data[at + 2 :])  # Void
    assert len(read(path, notices)) == 20 and not notices.lines


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.97, -1])
@pytest.mark.parametrize(
    ("name", "codec", "options", "held_s"),
    [
        ("a.mp4", "libx264", {"movflags": "faststart"}, 0),
        ("a.mp4", "libx264", {"movflags": "faststart"}, 3),
        ("a.mkv", "libx264", {}, 0),
        ("a.mkv", "libx264", {}, 3),
        ("a.webm", "libvpx", {}, 3),
        ("a.avi", "mjpeg", {}, 0),
    ],
)
def test_a_film_that_was_cut_off_anywhere_fails(
    tmp_path: Path, notices: Skipped, name: str, codec: str, options: dict[str, str], held_s: float, share: float
) -> None:
    path = write_video(tmp_path / name, 20, codec=codec, held_s=held_s, options=options)
    data = path.read_bytes()
    path.write_bytes(data[:-1] if share < 0 else data[: round(len(data) * share)])
    with pytest.raises(SourceError, match=r"cut off|broke off|not one frame|cannot be read"):
        read(path, notices)


@pytest.mark.parametrize("rest", [4, 7, 60, -1])
def test_a_fragmented_film_that_was_cut_off_between_two_fragments_fails(
    tmp_path: Path, notices: Skipped, rest: int
) -> None:
    """`rest`: how many bytes are left of the last moof; -1: its frames are missing."""
    path = write_video(tmp_path / "a.mp4", 20, options={"movflags": "frag_keyframe+empty_moov"})
    data = path.read_bytes()
    start, end = data.rindex(b"moof") - 4, data.rindex(b"mdat") - 4
    path.write_bytes(data[: end if rest < 0 else start + rest])
    with pytest.raises(SourceError, match="cut off"):
        read(path, notices)
    path.write_bytes(data + bytes(5))  # padding
    assert len(read(path, notices)) == 20


@pytest.mark.parametrize("share", [step / 20 for step in range(1, 20)])
def test_what_is_told_of_a_film_that_was_cut_off_names_no_end_of_file(
    tmp_path: Path, notices: Skipped, share: float
) -> None:
    path = write_video(tmp_path / "a.mp4", 20, options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * share)])
    with pytest.raises(SourceError) as error:
        read(path, notices)
    assert "End of file" not in str(error.value)


@pytest.mark.parametrize("name", ["a.mjpeg", "a.mjpg", "a.bin"])
def test_a_bare_mjpeg_file(tmp_path: Path, notices: Skipped, name: str) -> None:
    jpegs = [cv2.imencode(".jpg", picture(number))[1].tobytes() for number in range(4)]
    (tmp_path / name).write_bytes(b"".join(jpegs))
    assert [number_of(frame.pixels) for frame in read(tmp_path / name, notices)] == [0, 1, 2, 3]
    part = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
    (tmp_path / name).write_bytes(b"".join(part + jpeg + b"\r\n" for jpeg in jpegs)[len(b"--frame\r\n") :])
    assert [number_of(frame.pixels) for frame in read(tmp_path / name, notices)] == [0, 1, 2, 3]


def test_a_damaged_picture_in_a_bare_mjpeg_file_is_skipped_or_shown_and_the_others_stay(
    tmp_path: Path, notices: Skipped
) -> None:
    jpegs = [cv2.imencode(".jpg", picture(number))[1].tobytes() for number in range(6)]
    jpegs[2] = jpegs[2][:300]
    (tmp_path / "a.mjpeg").write_bytes(b"".join(jpegs))
    frames = read(tmp_path / "a.mjpeg", notices)
    assert {0, 1, 3, 4, 5} <= {number_of(frame.pixels) for frame in frames}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_a_single_picture_is_refused_and_the_remedy_is_named(tmp_path: Path, notices: Skipped, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"a{suffix}"), picture(1))
    with pytest.raises(SourceError, match=r"single picture.*folder"):
        read(tmp_path / f"a{suffix}", notices)


NAMES = [b"a\nb", b"a\x1b[31mb", b"a\xffb", "a\u202eb".encode(), "a\u2028b".encode(), b"a\rb"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_told_of_a_file_is_printable_whatever_its_name(tmp_path: Path, notices: Skipped, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path + b".mp4", "wb") as file:
        file.write(b"no video")
    spec = parse(os.fsdecode(path + b".mp4"))
    with pytest.raises(SourceError) as error:
        list(open_source(spec, notices).frames())
    os.mkdir(path)
    with open(path + b"/" + name + b".png", "wb") as file:
        file.write(b"no picture")
    folder = parse(os.fsdecode(path))
    with pytest.raises(SourceError) as empty:
        list(open_source(folder, notices).frames())
    told = [spec.name, folder.name, str(error.value), str(empty.value), *notices.lines]
    assert len(told) == 5 and all(text.isprintable() for text in told)
