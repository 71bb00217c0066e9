"""A face that fills the picture: found by the second look, which finds little where there is no face."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchmarks.accuracy import labelled_faces
from benchmarks.second_look import SHARES, Looks, faces_of, filling, portraits, wrong
from facegate.build.build import Built, build_served, fetch_pack
from facegate.packs.pack_file import PackFile
from facegate_client.imaging.image import decode
from facegate_ensemble.pack import Pack
from support import own_packs
from support.missing import cannot_be_had


@pytest.fixture(scope="module")
def looks(pack: PackFile, repository: Path) -> Looks:
    return Looks.of(build_served(pack))


def test_a_face_that_fills_the_picture_is_found(looks: Looks, pictures: Path) -> None:
    found = filling(looks, sorted((pictures / "verification").glob("*.jpg")))
    assert [each.share for each in found] == list(SHARES)
    assert [(each.pictures, each.twice) for each in found] == [(25, 25)] * len(SHARES)
    assert found[-1].once < 10


def test_every_portrait_of_the_att_faces_is_found(looks: Looks, pictures: Path) -> None:
    people, once, twice = portraits(looks, pictures / "att_faces")
    assert (people, twice) == (400, 400)
    assert once < 200


@pytest.mark.parametrize("of_each", [25, pytest.param(200, marks=pytest.mark.system)])
def test_at_most_one_crop_without_a_face_of_a_hundred_gains_one(looks: Looks, pictures: Path, of_each: int) -> None:
    free = wrong(looks, pictures / "detection", of_each)
    assert free.crops > 13 * of_each
    assert free.gained <= 0.01 * free.crops


def test_of_a_picture_with_faces_nothing_changes(looks: Looks, pictures: Path) -> None:
    labelled = labelled_faces(pictures / "detection")
    assert sum(len(boxes) for _, boxes in labelled) == 43
    for name, _ in labelled:
        image = decode((pictures / "detection" / name).read_bytes())
        once, twice = faces_of(looks.once, image), faces_of(looks.twice, image)
        assert len(once) > 0
        assert np.array_equal(once.boxes, twice.boxes)
        assert np.array_equal(once.scores, twice.scores)


@pytest.fixture
def scrfd(request: pytest.FixtureRequest, weights: dict[str, Path], tmp_path: Path) -> PackFile:
    """A pack with the detector of buffalo_sc and the default recognizer."""
    published = Path(os.environ.get("FACEGATE_MIRROR", "")) / "models" / own_packs.SCRFD
    if not published.is_file():
        cannot_be_had(request.config, f"{own_packs.SCRFD} is not here: FACEGATE_MIRROR names no directory with it")
    values = own_packs.values_of("mobileface")
    values |= {"name": "own_scrfd", "detector": own_packs.values_of("buffalo_sc")["detector"]}
    del values["liveness"]
    for file in (published, weights["MobileFaceNet.onnx"]):
        shutil.copyfile(file, tmp_path / file.name)
    values["files"] = {name: own_packs.local(tmp_path / name) for name in (own_packs.SCRFD, "MobileFaceNet.onnx")}
    return own_packs.loaded(values, tmp_path)


def test_an_scrfd_needs_the_second_look_for_every_such_face(scrfd: PackFile, pictures: Path) -> None:
    looks = Looks.of(build_served(scrfd))
    found = filling(looks, sorted((pictures / "verification").glob("*.jpg"))[:4])
    assert [(each.once, each.twice) for each in found] == [(0, 4)] * len(SHARES)


@pytest.fixture(scope="module")
def fixed(weights: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> PackFile:
    """A pack whose detector takes pictures of 640 x 640 pixels alone, whatever size its graph declares."""
    tmp_path = tmp_path_factory.mktemp("fixed")
    values = own_packs.values_of("mobileface")
    values["name"] = "own_fixed"
    del values["liveness"]
    published = onnx.load(weights[values["detector"]["file"]])
    (taken,) = [value.name for value in published.graph.input if value.name == "input"]
    for node in published.graph.node:
        node.input[:] = ["of_one_size" if name == taken else name for name in node.input]
    shape = numpy_helper.from_array(np.array([1, 3, 640, 640]), "one_size")
    published.graph.initializer.append(shape)
    published.graph.node.insert(0, onnx.helper.make_node("Reshape", [taken, "one_size"], ["of_one_size"]))
    onnx.save(published, tmp_path / values["detector"]["file"])
    shutil.copyfile(weights["MobileFaceNet.onnx"], tmp_path / "MobileFaceNet.onnx")
    files = (values["detector"]["file"], "MobileFaceNet.onnx")
    values["files"] = {name: own_packs.local(tmp_path / name) for name in files}
    return own_packs.loaded(values, tmp_path)


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def built(fixed: PackFile, said: list[str]) -> Built:
    return build_served(fixed, force=True, say=said.append)


def test_a_detector_of_one_size_is_served_without_the_second_look_and_the_build_says_so(
    fixed: PackFile, built: Built, said: list[str]
) -> None:
    assert fixed.detector.second_look == (256, 256)
    (line,) = [each for each in said if "face_detector_256x256" in each]
    assert "not served" in line
    assert "\n" not in line
    assert not (built.repository / "face_detector_256x256").exists()
    assert list(built.pack.nets) == ["face_detector", "face_recognizer"]


def test_answers_of_a_detector_of_one_size_are_those_of_a_pack_without_a_second_look(
    fixed: PackFile, built: Built
) -> None:
    once = fixed.model_copy(update={"detector": fixed.detector.model_copy(update={"second_look": None})})
    assert built.pack == Pack.model_validate(once.built(fetch_pack(fixed)).model_dump())


def test_a_detector_of_one_size_is_not_built_again(fixed: PackFile, built: Built) -> None:
    again: list[str] = []
    assert build_served(fixed, say=again.append).pack == built.pack
    assert again == ["own_fixed-onnxruntime-fp32: up to date"]


def test_a_detector_built_as_small_as_the_second_look_has_none(pack: PackFile, repository: Path) -> None:
    said: list[str] = []
    assert list(build_served(pack, size=(256, 320), say=said.append).pack.detectors) == ["face_detector"]
    assert any("256x320" in line and "second look" in line for line in said)
