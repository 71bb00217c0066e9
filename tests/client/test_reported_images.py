"""Images of bug reports are the same picture to the decoder, to --draw and to a folder of pictures."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from facegate.cameras.sources.open_source import open_source
from facegate.cameras.sources.spec import parse
from facegate_client.cli import app as cli
from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.image import decode
from support.exact_images import reported_images
from support.fake_triton import analyze_answer, serve

NAMES = list(reported_images())
FATAL = ["webp_first_frame_damaged.webp", "apng_first_frame_broken.png", "apng_second_frame_large.png", "texts.png"]
"""Those that end or stop a process whose OpenCV is given them."""


@pytest.mark.parametrize("name", NAMES)
def test_each_is_decoded_to_its_picture_or_refused_at_once(name: str) -> None:
    data, expected = reported_images()[name]
    begun = time.process_time()
    if expected is None:
        with pytest.raises(InvalidImage):
            decode(data)
    else:
        assert np.array_equal(decode(data), expected)
    assert time.process_time() - begun < 1  # texts.png took a minute


def drawn(image: Path, out: Path) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `faceclient analyze --draw`, with a server that finds no face in any file."""
    with serve("grpc", lambda call: analyze_answer(0, embeddings=False, liveness=False)) as fake:
        arguments = ["analyze", str(image), "--json", "--draw", str(out), "--url", fake.url, "--protocol", "grpc"]
        if image.name not in FATAL:
            result = CliRunner().invoke(cli.app, arguments)
            return result.exit_code, result.stdout, result.stderr
        command = [sys.executable, "-m", "facegate_client", *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize("name", NAMES)
def test_draw_prints_the_answer_and_draws_the_same_picture(name: str, tmp_path: Path) -> None:
    data, expected = reported_images()[name]
    image, out = tmp_path / name, tmp_path / "out.png"
    image.write_bytes(data)
    status, stdout, stderr = drawn(image, out)
    assert json.loads(stdout)["faces"] == []
    if expected is None:  # not by this decoder's server, which refuses it
        assert status == 2 and not out.exists()
        assert stderr.splitlines()[-1].startswith(f"faceclient: {image}: ")
    else:
        assert status == 0, stderr
        assert np.array_equal(cv2.imread(str(out)), expected)


class Skipped:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def skipped(self, what: str) -> None:
        self.lines.append(what)

    def lost(self, reason: str) -> None: ...

    def back(self) -> None: ...


def test_a_folder_has_the_same_pictures_and_names_those_it_skips(tmp_path: Path) -> None:
    images = reported_images()
    for number, name in enumerate(NAMES):
        (tmp_path / f"{number}-{name}").write_bytes(images[name][0])
    skipped = Skipped()
    frames = [frame.pixels for frame in open_source(parse(str(tmp_path)), skipped).frames()]
    expected = [pixels for _, pixels in images.values() if pixels is not None]
    assert len(frames) == len(expected)
    assert all(np.array_equal(frame, pixels) for frame, pixels in zip(frames, expected, strict=True))
    refused = [f"{number}-{name}" for number, name in enumerate(NAMES) if images[name][1] is None]
    assert [line.partition(":")[0] for line in skipped.lines] == refused
