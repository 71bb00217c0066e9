"""A film is shown as FFmpeg shows it: its orientation, its pixels' shape, and which of its streams."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from hypothesis import given
from hypothesis import strategies as st

from facegate.cameras.frame import Frame, SourceError
from facegate.cameras.sources.open_source import open_source
from facegate.cameras.sources.shaping import nearest_orientation
from facegate.cameras.sources.spec import parse
from support.made_videos import picture, with_matrix, write_video

EIGHT = {  # a, b, c, d: whether width and height change places, and where the red quarter at the top left goes
    (1, 0, 0, 1): (False, "top left"),
    (0, 1, -1, 0): (True, "top right"),
    (-1, 0, 0, -1): (False, "bottom right"),
    (0, -1, 1, 0): (True, "bottom left"),
    (-1, 0, 0, 1): (False, "top right"),
    (1, 0, 0, -1): (False, "bottom left"),
    (0, 1, 1, 0): (True, "top left"),
    (0, -1, -1, 0): (True, "bottom right"),
}


class Silent:
    def lost(self, reason: str) -> None: ...

    def back(self) -> None: ...

    def warned(self, what: str) -> None: ...

    def skipped(self, what: str) -> None: ...


def read(text: str | Path) -> list[Frame]:
    return list(open_source(parse(str(text)), Silent()).frames())


def shown(frame: Frame) -> tuple[tuple[int, int], str]:
    """Width and height, and where it is red."""
    rows = {"top": 20, "bottom": -20}
    columns = {"left": 20, "right": -20}
    red = [f"{row} {column}" for row, y in rows.items() for column, x in columns.items() if is_red(frame.pixels[y, x])]
    (corner,) = red
    return (frame.pixels.shape[1], frame.pixels.shape[0]), corner


def is_red(pixel: Any) -> bool:
    return bool(pixel[2] > 200 and pixel[0] < 60)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return bytes(write_video(tmp_path_factory.mktemp("film") / "a.mp4", 2).read_bytes())


@pytest.mark.parametrize(("matrix", "expected"), EIGHT.items())
def test_all_eight_display_matrices(
    tmp_path: Path, film: bytes, matrix: tuple[int, int, int, int], expected: tuple[bool, str]
) -> None:
    swapped, corner = expected
    path = tmp_path / "a.mp4"
    path.write_bytes(with_matrix(film, *matrix))
    assert shown(read(path)[1]) == ((120, 160) if swapped else (160, 120), corner)


@pytest.mark.parametrize(("rotate", "corner"), [(90, "bottom right"), (180, "bottom left"), (270, "top left")])
def test_the_users_turn_comes_after_a_mirrored_films_own(tmp_path: Path, film: bytes, rotate: int, corner: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(with_matrix(film, -1, 0, 0, 1))
    assert shown(read(f"{path}#rotate={rotate}")[1])[1] == corner  # clockwise from the top right


@pytest.mark.parametrize(
    ("matrix", "as_if"),
    [
        ((0, 0, 0, 0), (1, 0, 0, 1)),
        ((0.94, 0.34, -0.34, 0.94), (1, 0, 0, 1)),
        ((0.34, 0.94, -0.94, 0.34), (0, 1, -1, 0)),
        ((-0.9, 0.4, 0.4, 0.9), (-1, 0, 0, 1)),
        ((-32768, -32768, -32768, -32768), (-1, 0, 0, -1)),
    ],
)
def test_any_other_matrix_is_the_nearest_of_the_eight(
    tmp_path: Path, film: bytes, matrix: tuple[float, ...], as_if: tuple[int, int, int, int]
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(with_matrix(film, *matrix))
    assert shown(read(path)[1])[1] == EIGHT[as_if][1]


@given(*[st.integers(-(2**31), 2**31 - 1)] * 4)
def test_every_matrix_has_a_nearest_orientation(a: int, b: int, c: int, d: int) -> None:
    assert nearest_orientation(a, b, c, d) in EIGHT


def filtered(h264: bytes, by: str) -> bytes:
    """An H.264 stream through one of FFmpeg's bit stream filters."""
    with av.open(io.BytesIO(h264), format="h264") as container:
        stream = container.streams.video[0]
        context = BitStreamFilterContext(by, stream)
        packets = [each for packet in container.demux(stream) if packet.size for each in context.filter(packet)]
        return b"".join(bytes(packet) for packet in [*packets, *context.filter(None)])


def test_an_orientation_within_the_stream_is_of_its_own_frames(tmp_path: Path) -> None:
    plain = write_video(io.BytesIO(), 2, form="h264").getvalue()
    path = tmp_path / "a.h264"
    path.write_bytes(filtered(plain, "h264_metadata=display_orientation=insert:rotate=90:flip=vertical") + plain)
    frames = read(path)
    assert shown(frames[0]) == ((120, 160), "bottom right")
    assert shown(frames[2]) == shown(frames[3]) == ((160, 120), "top left")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_each_jpeg_of_a_film(tmp_path: Path, orientation: int) -> None:
    """The same as a picture's: EXIF 2.32, section 4.6.4."""
    matrices = [(1, 0, 0, 1), (-1, 0, 0, 1), (-1, 0, 0, -1), (1, 0, 0, -1)]
    matrices += [(0, 1, 1, 0), (0, 1, -1, 0), (0, -1, -1, 0), (0, -1, 1, 0)]
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHIII", 8, 1, 0x112, 3, 1, orientation, 0)
    jpeg = cv2.imencode(".jpg", picture(0))[1].tobytes()
    path = tmp_path / "a.mjpeg"
    path.write_bytes((jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]) * 2)
    swapped, corner = EIGHT[matrices[orientation - 1]]
    assert [shown(frame) for frame in read(path)] == [((120, 160) if swapped else (160, 120), corner)] * 2


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.h264"])
@pytest.mark.parametrize(
    ("sar", "size"), [((2, 1), (320, 120)), ((1, 2), (160, 240)), ((4, 3), (213, 120)), ((1, 1), (160, 120))]
)
def test_pixels_are_made_square_and_none_are_lost(
    tmp_path: Path, name: str, sar: tuple[int, int], size: tuple[int, int]
) -> None:
    pixels = read(write_video(tmp_path / name, 10, sar=Fraction(*sar)))[1].pixels
    assert (pixels.shape[1], pixels.shape[0]) == size and pixels.flags.c_contiguous
    assert is_red(pixels[10, size[0] // 2 - 10]) and not is_red(pixels[10, size[0] // 2 + 10])


def test_pixels_are_square_before_they_are_turned_and_cut(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 2, sar=Fraction(2), turned=-90)
    assert shown(read(path)[1]) == ((120, 320), "top right")
    assert read(f"{path}#rotate=90&roi=200,0,120,120")[1].pixels.shape == (120, 120, 3)
    with pytest.raises(SourceError, match="does not lie in the frame of 320x120"):
        read(f"{path}#rotate=90&roi=201,0,120,120")


def test_the_option_goes_before_what_a_film_declares(tmp_path: Path) -> None:
    plain = write_video(tmp_path / "a.mkv", 2)
    assert read(f"{plain}#sar=12:11")[1].pixels.shape == (120, 175, 3)
    wide = write_video(tmp_path / "b.mkv", 2, sar=Fraction(2))
    assert read(f"{wide}#sar=1:1")[1].pixels.shape == (120, 160, 3)
    cv2.imwrite(str(tmp_path / "1.png"), picture(1))
    assert read(f"{tmp_path}#sar=2:1")[0].pixels.shape == (120, 320, 3)


def test_a_shape_that_changes_in_the_middle(tmp_path: Path) -> None:
    plain = write_video(io.BytesIO(), 5, form="h264").getvalue()
    path = tmp_path / "a.h264"
    path.write_bytes(plain + filtered(plain, "h264_metadata=sample_aspect_ratio=2/1") + plain)
    assert [frame.pixels.shape[1] for frame in read(path)] == [160] * 5 + [320] * 5 + [160] * 5


def with_pixels_of(mp4: bytes, wide: int, high: int) -> bytes:
    at = mp4.index(b"pasp") + 4
    return mp4[:at] + struct.pack(">2I", wide & 0xFFFFFFFF, high & 0xFFFFFFFF) + mp4[at + 8 :]


@pytest.mark.parametrize("sar", [(0, 1), (1, 0), (0, 0), (-2, 1), (2, -1)])
def test_a_shape_without_sense_says_nothing(tmp_path: Path, sar: tuple[int, int]) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(
        with_pixels_of(write_video(tmp_path / "b.mp4", 2, codec="mjpeg", sar=Fraction(2)).read_bytes(), *sar)
    )
    assert read(path)[1].pixels.shape[:2] in ((120, 160), (120, 320))  # the frames themselves may declare 2:1


@pytest.mark.parametrize("sar", [(10000, 1), (1, 10000), (2**31 - 1, 1)])
def test_a_size_over_the_limit_is_refused_and_the_remedy_is_named(tmp_path: Path, sar: tuple[int, int]) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(with_pixels_of(write_video(tmp_path / "b.mp4", 2, sar=Fraction(2)).read_bytes(), *sar))
    with pytest.raises(SourceError, match=r"over the limit.*#sar=1:1"):
        read(path)
    assert read(f"{path}#sar=1:1")[1].pixels.shape == (120, 160, 3)


def streams(path: Path, *sizes: tuple[int, int], cover: int | None = None) -> Path:
    """A film with a stream of each size; the one numbered `cover` is a picture of it."""
    with av.open(str(path), "w") as container:
        made: list[Any] = []
        for number, (width, height) in enumerate(sizes):
            stream: Any = container.add_stream("mjpeg" if number == cover else "libx264", rate=25)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if number == cover else "yuv420p"
            if number == cover:
                stream.disposition = 1 << 10
            made.append(stream)
        for number in range(10):
            for index, stream in enumerate(made):
                if index != cover or number == 0:
                    frame = av.VideoFrame.from_ndarray(picture(number, stream.width, stream.height), "bgr24")
                    container.mux(stream.encode(frame))
        for stream in made:
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_of_several_videos_the_largest(tmp_path: Path, name: str) -> None:
    frames = read(streams(tmp_path / name, (32, 24), (160, 120), (64, 48)))
    assert [frame.pixels.shape for frame in frames] == [(120, 160, 3)] * 10


def test_a_cover_is_no_film(tmp_path: Path) -> None:
    frames = read(streams(tmp_path / "a.mp4", (320, 240), (64, 48), cover=0))
    assert [frame.pixels.shape for frame in frames] == [(48, 64, 3)] * 10
    with av.open(str(tmp_path / "b.mp4"), "w") as container:
        sound: Any = container.add_stream("aac", rate=8000)
        cover: Any = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 64, 48, "yuvj420p", 1 << 10
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        samples.rate = 8000
        container.mux([*sound.encode(samples), *sound.encode()])
        container.mux(cover.encode(av.VideoFrame.from_ndarray(picture(0, 64, 48), "bgr24")))
    with pytest.raises(SourceError, match="there is no video in it"):
        read(tmp_path / "b.mp4")
