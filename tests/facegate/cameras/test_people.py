"""Who is watched for: what is given, what is found in it, and what is refused before anything starts."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from facegate.cameras.watch.people import People, WatchError, load
from facegate_client import (
    BadImage,
    Face,
    Faces,
    Model,
    Unreachable,
)

LANDMARKS = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (35.0, 80.0), (65.0, 80.0))
BOX = (0.0, 0.0, 100.0, 100.0)


def model(embedding_digest: str = "a" * 64) -> Model:
    return Model("pack", "MIT", True, "d" * 64, embedding_digest, "fp32", 0.4)


class Answers:
    """A client that describes a photo by what stands in the file."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.digests = {"other nets": "b" * 64}

    async def analyze(self, image: Path, *, anti_spoofing: bool, max_faces: int) -> Faces:
        self.calls.append((image.name, anti_spoofing))
        said = image.read_text() if image.exists() else "missing"
        if said == "missing":
            raise BadImage(f"image: cannot read {image}: No such file or directory")
        if said == "away":
            raise Unreachable("no FaceGate server answers at nowhere:1")
        liveness = {"is_real": said != "fake", "antispoof_score": float(said != "fake")} if anti_spoofing else {}
        face = Face(BOX, 0.9, LANDMARKS, embedding=np.ones(4, np.float32) / 2, **cast(Any, liveness))
        count = {"nobody": 0, "crowd": max_faces}.get(said, 1)
        return Faces([face] * count, model(self.digests.get(said, "a" * 64)))


def loaded(client: Any, paths: list[Path], *, say: Any = None, **options: Any) -> People:
    options = {"anti_spoofing": False} | options
    return asyncio.run(load(client, paths, say=say or (lambda line: None), **options))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """people/{anna.jpg, bert/{1.jpg, bert.png}, .DS_Store}"""
    people = tmp_path / "people"
    (people / "bert").mkdir(parents=True)
    for name in ("anna.jpg", "bert/1.jpg", "bert/bert.png", ".DS_Store"):
        (people / name).write_text("face")
    return people


def test_files_and_folders_name_people(folder: Path, tmp_path: Path) -> None:
    carl = tmp_path / "carl.webp"
    carl.write_text("face")
    people = loaded(Answers(), [folder, carl])
    assert [(each.person, each.photo.name) for each in people.references] == [
        ("anna", "anna.jpg"),
        ("bert", "1.jpg"),
        ("bert", "bert.png"),
        ("carl", "carl.webp"),
    ]
    assert (people.threshold, people.embedding_digest) == (0.4, "a" * 64)


def test_a_threshold_that_is_given_is_taken(folder: Path) -> None:
    assert loaded(Answers(), [folder], threshold=0.5).threshold == 0.5


@pytest.mark.parametrize("threshold", [0.0, -1.0, 2.1, float("nan"), float("inf")])
def test_a_threshold_that_is_no_distance_is_refused(folder: Path, threshold: float) -> None:
    with pytest.raises(WatchError, match=r"threshold: expected .* \(0, 2\]"):
        loaded(Answers(), [folder], threshold=threshold)


def test_liveness_is_asked_for_where_it_matters(folder: Path) -> None:
    client = Answers()
    people = loaded(client, [folder], anti_spoofing=True)
    assert all(asked for _, asked in client.calls)
    assert all(reference.face.is_real is True for reference in people.references)
    assert people.anti_spoofing


def test_a_photo_that_is_not_live_is_warned_of_and_kept(tmp_path: Path) -> None:
    photo, said = tmp_path / "anna.jpg", list[str]()
    photo.write_text("fake")
    people = loaded(Answers(), [photo], anti_spoofing=True, say=said.append)
    assert [each.person for each in people.references] == ["anna"]
    assert said == [f"{photo} is not live (P(real) 0.00): nobody will be verified by it"]


def test_a_photo_of_several_is_warned_of(tmp_path: Path) -> None:
    photo, said = tmp_path / "anna.jpg", list[str]()
    photo.write_text("crowd")
    loaded(Answers(), [photo], say=said.append)
    assert said == [f"{photo} shows several faces; the best-detected one is watched for"]


@pytest.mark.parametrize(("content", "reason"), [("nobody", "shows no face"), ("missing", "cannot be watched for: ")])
def test_who_cannot_be_watched_for_ends_the_start(folder: Path, content: str, reason: str) -> None:
    photo = folder / "dora.jpg"
    photo.write_text(content)
    with pytest.raises(WatchError, match=reason) as raised:
        loaded(Answers(), [folder])
    assert str(photo) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert re.search("use a picture|move it away", str(raised.value))


def test_a_server_that_is_away_is_not_the_photo_s_fault(tmp_path: Path) -> None:
    photo = tmp_path / "anna.jpg"
    photo.write_text("away")
    with pytest.raises(Unreachable):
        loaded(Answers(), [photo])


def test_nets_that_change_meanwhile_are_not_mixed(folder: Path) -> None:
    (folder / "dora.jpg").write_text("other nets")
    with pytest.raises(WatchError, match="changed its models"):
        loaded(Answers(), [folder])


def test_two_people_are_not_taken_for_one(folder: Path, tmp_path: Path) -> None:
    (folder / "anna.png").write_text("face")
    with pytest.raises(WatchError, match="both called 'anna'"):
        loaded(Answers(), [folder])
    (folder / "anna.png").unlink()
    (tmp_path / "bert.jpg").write_text("face")
    with pytest.raises(WatchError, match="both called 'bert'"):
        loaded(Answers(), [folder, tmp_path / "bert.jpg"])


def test_folders_without_a_photo_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WatchError, match="holds no photo"):
        loaded(Answers(), [tmp_path])
    (tmp_path / "anna").mkdir()
    with pytest.raises(WatchError, match=r"anna holds no photo"):
        loaded(Answers(), [tmp_path])
    with pytest.raises(WatchError, match="no photo was given"):
        loaded(Answers(), [])
