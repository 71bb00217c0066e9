"""The annotated video, played again."""

from __future__ import annotations

import resource
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from facegate.cameras.frame import Frame
from facegate.cameras.sinks import annotated_video
from facegate.cameras.sinks.annotated_video import AnnotatedVideo, mark
from facegate.cameras.sinks.output import OutputError
from facegate_client.draw import FAKE, NOT_CHECKED, REAL, draw
from support.made_records import FACE

WIDTH, HEIGHT = FACE.width, FACE.height
LIVE = replace(FACE, is_real=True, antispoof_score=0.98, who="anna", distance=0.2)


def frame(index: int, media_s: float, grey: int = 128, width: int = WIDTH, height: int = HEIGHT) -> Frame:
    return Frame(index, media_s, 1e9 + media_s, media_s, np.full((height, width, 3), grey, np.uint8))


def played(place: Path) -> tuple[list[np.ndarray], list[float]]:
    """Its pictures, BGR, and when they are shown."""
    with av.open(str(place)) as container:
        shown = list(container.decode(video=0))
    return [each.to_ndarray(format="bgr24") for each in shown], [float(each.pts * each.time_base) for each in shown]


def near(colour: tuple[int, int, int], pixel: np.ndarray) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() < 60)  # colours are halved in size, and compressed


@pytest.mark.parametrize(
    ("changed", "text", "colour"),
    [
        ({}, "#12  not checked", NOT_CHECKED),
        ({"is_real": True, "antispoof_score": 0.98}, "#12  REAL 0.98", REAL),
        ({"is_real": False, "antispoof_score": 0.02, "who": "anna"}, "#12 anna  FAKE 0.02", FAKE),
    ],
)
def test_the_label_has_the_track_who_it_is_and_the_verdict(
    changed: dict[str, bool | float | str], text: str, colour: tuple[int, int, int]
) -> None:
    drawn = mark(replace(FACE, **changed))  # type: ignore[arg-type]
    assert (drawn.text, drawn.colour) == (text, colour)


def test_letters_that_the_font_lacks_do_not_stop_a_run() -> None:
    picture = frame(0, 0).pixels
    accents, plain = (draw(picture, [mark(replace(LIVE, who=who))]) for who in ("José\n", "Jose?"))
    assert np.array_equal(accents, plain)
    assert draw(picture, [mark(replace(LIVE, who="李"))]).any()


def test_times_and_pictures_are_as_given(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.5, 0.5001, 3.25, 60.0]
    video = AnnotatedVideo(tmp_path / "door.mp4")
    for index, media_s in enumerate(times):
        video.add(frame(index, media_s, grey=40 * index), [LIVE] if index == 3 else [])
    video.close()
    pictures, shown = played(tmp_path / "door.mp4")
    assert shown == pytest.approx(times, abs=1e-4)
    for index, picture in enumerate(pictures):
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert abs(int(picture[5, 5].mean()) - 40 * index) < 8
        assert near(REAL, picture[80, 40]) == (index == 3)  # the box's left edge


def test_times_that_stand_still_or_go_back_do_not_stop_it(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "door.mp4")
    for index, media_s in enumerate([0.0, 1.0, 1.0, 0.5, 2.0]):
        video.add(frame(index, media_s), [])
    video.close()
    shown = played(tmp_path / "door.mp4")[1]
    assert len(shown) == 5
    assert shown == sorted(set(shown))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (161, 120), (160, 121), (33, 17)])
def test_every_size_can_be_written(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    video = AnnotatedVideo(tmp_path / "door.mp4")
    for index in range(3):
        video.add(frame(index, index / 10, 200, width, height), [])
    video.close()
    pictures, _ = played(tmp_path / "door.mp4")
    assert [picture.shape for picture in pictures] == [(max(2, height // 2 * 2), max(2, width // 2 * 2), 3)] * 3
    assert abs(int(pictures[0].mean()) - 200) < 60


def test_a_size_that_changes_is_fitted_in_unstretched(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "door.mp4")
    video.add(frame(0, 0.0, 200), [])
    video.add(frame(1, 0.1, 200, width=HEIGHT, height=HEIGHT * 2), [])
    video.add(frame(2, 0.2, 200, width=WIDTH * 3, height=HEIGHT * 3), [])
    video.close()
    first, tall, large = played(tmp_path / "door.mp4")[0]
    assert first.shape == tall.shape == large.shape
    assert min(first.min(), large.min()) > 180
    middle = tall[:, (WIDTH - HEIGHT // 2) // 2 + 4 : (WIDTH + HEIGHT // 2) // 2 - 4]
    assert middle.min() > 180
    assert max(tall[:, :40].max(), tall[:, -40:].max()) < 40


def test_closing_twice_and_writing_after_it(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "door.mp4")
    video.add(frame(0, 0.0), [])
    video.close()
    video.close()
    with pytest.raises(ValueError, match="is closed"):
        video.add(frame(1, 0.1), [])
    assert len(played(tmp_path / "door.mp4")[0]) == 1


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "door.mp4")
    video.close()
    assert not list(tmp_path.iterdir())


def test_closing_waits_for_the_thread_that_writes(tmp_path: Path) -> None:
    video, added = AnnotatedVideo(tmp_path / "door.mp4"), 0
    begun = threading.Event()

    def write() -> None:
        nonlocal added
        with suppress(ValueError):
            for added in range(10_000):
                video.add(frame(added, added / 10), [])
                begun.set()

    writing = threading.Thread(target=write)
    writing.start()
    begun.wait()
    video.close()
    writing.join()
    assert len(played(tmp_path / "door.mp4")[0]) == added


def test_what_a_killed_run_leaves_can_be_played(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "door.mp4")
    for index in range(200):
        video.add(frame(index, index / 10), [])
    shutil.copy(tmp_path / "door.mp4", tmp_path / "cut.mp4")
    video.close()
    assert len(played(tmp_path / "door.mp4")[0]) == 200
    assert 100 <= len(played(tmp_path / "cut.mp4")[0]) < 200


def test_without_libx264_it_is_mpeg4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    video = AnnotatedVideo(tmp_path / "door.mp4")
    for index in range(3):
        video.add(frame(index, index / 10, 200), [])
    video.close()
    with av.open(str(tmp_path / "door.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    pictures, shown = played(tmp_path / "door.mp4")
    assert shown == pytest.approx([0, 0.1, 0.2], abs=1e-4)
    assert abs(int(pictures[-1].mean()) - 200) < 8


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    video = AnnotatedVideo(Path("http:door.mp4"))
    video.add(frame(0, 0.0), [])
    video.close()
    assert len(played(tmp_path / "http:door.mp4")[0]) == 1


def test_a_place_that_cannot_be_opened_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot open .*such\.mp4: No such file or directory"):
        AnnotatedVideo(tmp_path / "no" / "such.mp4")


def test_a_video_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    for grey in (50, 120, 200):
        video = AnnotatedVideo(tmp_path / "1-a.b-annotated.mp4")
        video.add(frame(0, 0.0, grey), [])
        video.close()
    names = ["1-a.b-annotated.mp4", "1-a.b-annotated-2.mp4", "1-a.b-annotated-3.mp4"]
    assert [round(float(played(tmp_path / name)[0][0].mean()), -1) for name in names] == [50, 120, 200]
    AnnotatedVideo(tmp_path / names[0]).close()
    assert {path.name for path in tmp_path.iterdir()} == set(names)


@contextmanager
def files_may_have(most: int) -> Iterator[None]:
    """Bytes; a write that goes beyond fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_takes_no_more_is_one_clear_line(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "door.mp4")

    def write() -> None:
        for index in range(200):
            video.add(frame(index, index / 10), [])
        video.close()

    with pytest.raises(OutputError, match=r"door\.mp4: File too large") as raised, files_may_have(2_000):
        write()
    assert "\n" not in str(raised.value)
    video.close()


def test_what_the_encoder_refuses_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(annotated_video._ENCODERS, "libx264", {"preset": "no such preset"})
    video = AnnotatedVideo(tmp_path / "door.mp4")
    with pytest.raises(OutputError, match=r"cannot write to .*door\.mp4: ") as raised:
        video.add(frame(0, 0.0), [])
    assert "\n" not in str(raised.value)
    video.close()
