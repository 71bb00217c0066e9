"""`facegate packs`, `facegate packs check` and the licence gate, as a user meets them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from tenacity import wait_none
from typer.testing import CliRunner, Result

import facegate.build.build
import facegate.cli.packs
from facegate.build.weights import download
from facegate.cli.app import app
from facegate.packs.shipped import FOLDER, pack_named, shipped_packs
from support import made_nets, own_packs

Values = dict[str, Any]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines(result: Result) -> list[str]:
    return [line.removeprefix("facegate: ") for line in result.output.strip().splitlines()]


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a test's own packs fetch is kept out of the project's own folder."""
    monkeypatch.setattr(facegate.build.build, "FETCHED", tmp_path / "fetched")
    monkeypatch.setattr(facegate.cli.packs, "BUILD", tmp_path / "build")


@pytest.fixture
def values(weights: dict[str, Path], apart: None, tmp_path: Path) -> Values:
    """The default pack's fields under another name, with its weights beside the TOML to come."""
    fields = own_packs.values_of("mobileface") | {"name": "mine"}
    for name in fields["files"]:
        shutil.copyfile(weights[name], tmp_path / name)
        fields["files"][name] = own_packs.local(tmp_path / name)
    return fields


@pytest.fixture
def toml(values: Values, tmp_path: Path) -> Callable[..., Path]:
    """Writes the fields as they are by now."""
    return lambda: own_packs.write(values, tmp_path / "mine.toml")


def test_the_packs_are_listed_with_licences_sizes_and_what_is_here(weights: dict[str, Path]) -> None:
    listed = run("packs")
    assert listed.exit_code == 0
    rows = {line.split()[0]: line for line in lines(listed)}
    assert set(shipped_packs()) <= rows.keys()
    assert "MIT and Apache-2.0" in rows["mobileface"]
    assert "4 of 4 files" in rows["mobileface"]
    assert "no: --accept-license" in rows["buffalo_l"]
    assert "195" in rows["buffalo_l"].split()
    assert "buffalo_l: w600k_r50.onnx was never run here: " in listed.output
    assert "mobileface: " not in listed.output


def test_a_sound_pack_is_proved_and_drawn(toml: Callable[..., Path], tmp_path: Path) -> None:
    checked = run("packs", "check", toml(), "--sheet", tmp_path / "out" / "sheet.png")
    assert checked.exit_code == 0, checked.output
    assert "face_recognizer  112 x 112 RGB, values -2.12 to 2.64, MobileFaceNet.onnx: a test's" in checked.output
    assert checked.output.count("from the published net") == 9
    assert lines(checked)[-1].startswith("mine is sound; look at ")
    sheet = cv2.imread(str(tmp_path / "out" / "sheet.png"))
    assert sheet.shape[0] > 5 * 160  # a row for each of four nets, and one with the template's points
    assert (np.abs(sheet.astype(int) - (60, 200, 60)).sum(axis=2) < 60).sum() > 20  # the points are drawn


def test_the_proof_is_made_on_a_users_own_picture_too(toml: Callable[..., Path], samples: dict[str, Path]) -> None:
    checked = run("packs", "check", toml(), "--picture", samples["image_F1.jpg"])
    assert checked.exit_code == 0, checked.output
    assert "EMBEDDINGS       4 inputs: " in checked.output


def test_liveness_is_judged_on_samples_whose_answer_is_known(toml: Callable[..., Path]) -> None:
    said = "".join(line for line in lines(run("packs", "check", toml())) if line.startswith("liveness "))
    assert re.search(r"image_T1\.jpg, a live face: P\(real\) (1\.000|0\.99\d), real", said)
    assert re.search(r"image_F2\.jpg, a spoof: P\(real\) 0\.0\d\d, fake", said)


@pytest.mark.parametrize(
    "mistake", [{"real_class": 0}, {"real_class": 2}, {"std": [255.0] * 3}, {"mean": [255.0] * 3}], ids=str
)
def test_liveness_nets_that_take_a_spoof_for_more_alive_are_refused(
    values: Values, toml: Callable[..., Path], mistake: dict[str, Any]
) -> None:
    """Fed as the pack says, such nets pass any proof."""
    for section in [values["liveness"]] if "real_class" in mistake else values["liveness"]["nets"]:
        section |= mistake
    checked = run("packs", "check", toml())
    assert checked.exit_code == 1
    assert "its liveness nets take a spoof for more alive than the live face" in lines(checked)[-1]


@pytest.mark.parametrize("name", ["sheet", "sheet.xyz", "folder.png"])
def test_a_sheet_that_cannot_be_written_is_named(toml: Callable[..., Path], tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    checked = run("packs", "check", toml(), "--sheet", tmp_path / name)
    assert checked.exit_code == 1
    assert lines(checked)[-1].startswith(f"--sheet {tmp_path / name}: ")


@pytest.mark.parametrize("content", [b"", b"no picture at all", None])
def test_a_picture_that_is_none_is_named(toml: Callable[..., Path], tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "odd.jpg").write_bytes(content)
    checked = run("packs", "check", toml(), "--picture", tmp_path / "odd.jpg")
    assert checked.exit_code == 1
    assert "odd.jpg" in lines(checked)[-1]
    assert "Traceback" not in checked.output


def test_a_picture_without_a_face_proves_nothing(toml: Callable[..., Path], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 90, np.uint8))
    checked = run("packs", "check", toml(), "--picture", tmp_path / "grey.png")
    assert checked.exit_code == 1
    assert "grey.png: no face; its best candidate scores 0.0" in lines(checked)[-1]


def test_every_wrong_field_has_a_line_of_its_own(values: Values, toml: Callable[..., Path]) -> None:
    del values["recognizer"]["template"]
    values["recognizer"]["colour"] = "RBG"
    values["detector"]["min_score"] = 7.0
    values["files"]["MobileFaceNet.onnx"]["sha256"] = "0"
    checked = run("packs", "check", toml())
    assert checked.exit_code == 1
    assert [line.split(": ")[1] for line in lines(checked)] == [
        "detector.min_score",
        "recognizer.colour",
        "recognizer.template",
        "files.MobileFaceNet.onnx.sha256",
    ]


def test_every_net_that_contradicts_the_pack_has_a_line_of_its_own(values: Values, toml: Callable[..., Path]) -> None:
    values["detector"] |= {"head": "scrfd"}
    values["recognizer"] |= {"dimension": 512}
    values["liveness"]["nets"][0] |= {"height": 96, "width": 96}
    checked = run("packs", "check", toml())
    assert checked.exit_code == 1
    said = [line.split("mine.toml: ")[-1] for line in lines(checked) if "mine.toml: " in line]
    assert len(said) == 3
    assert said[0].startswith("face_detector: face_detection_yunet_2023mar.onnx: an scrfd of 640 x 640 has three ")
    assert said[1] == "face_recognizer: MobileFaceNet.onnx: answers 128 values a picture, the pack says dimension = 512"
    assert said[2].startswith("minifasnet_v2: MiniFASNetV2.onnx: takes 80x80, the pack says 96x96")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(b"", "not a usable ONNX graph", id="empty"),
        pytest.param(b"nonsense" * 100, "not a usable ONNX graph", id="no graph"),
    ],
)
def test_a_file_that_is_no_net_is_named(
    values: Values, toml: Callable[..., Path], tmp_path: Path, change: bytes, reason: str
) -> None:
    (tmp_path / "MiniFASNetV2.onnx").write_bytes(change)
    values["files"]["MiniFASNetV2.onnx"] = own_packs.local(tmp_path / "MiniFASNetV2.onnx")
    checked = run("packs", "check", toml())
    assert checked.exit_code == 1
    assert f"minifasnet_v2: MiniFASNetV2.onnx: {reason}" in lines(checked)[-1]


def test_a_net_that_keeps_its_weights_elsewhere_is_refused(
    values: Values, toml: Callable[..., Path], tmp_path: Path
) -> None:
    """What stands in another file has no hash in the pack, and its path comes out of the net's file."""
    net = onnx.load(tmp_path / "MiniFASNetV2.onnx")
    onnx.save(net, tmp_path / "apart.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    values["files"]["apart.onnx"] = own_packs.local(tmp_path / "apart.onnx")
    values["liveness"]["nets"][0]["file"] = "apart.onnx"
    checked = run("packs", "check", toml())
    assert checked.exit_code == 1
    assert (
        "apart.onnx: not a usable ONNX graph: it keeps weights in other files; save it as one file"
        in lines(checked)[-1]
    )


def test_a_file_with_another_hash_is_refused_with_its_own(values: Values, toml: Callable[..., Path]) -> None:
    right = values["files"]["MobileFaceNet.onnx"]["sha256"]
    values["files"]["MobileFaceNet.onnx"]["sha256"] = "0" * 64
    checked = run("packs", "check", toml())
    assert checked.exit_code == 1
    assert right in checked.output


def test_a_packs_name_that_is_taken_is_refused(values: Values, toml: Callable[..., Path]) -> None:
    values["name"] = "opencv"
    checked = run("packs", "check", toml())
    assert checked.exit_code == 1
    assert "'opencv' is one of this project's own packs; choose another" in lines(checked)[-1]


@pytest.mark.parametrize("name", ["buffalo_sc", "buffalo_l"])
@pytest.mark.parametrize("command", [("fetch",), ("serve", "--pack"), ("packs", "check")], ids=" ".join)
def test_a_pack_that_forbids_commercial_use_is_not_touched_without_consent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(facegate.build.build, "FETCHED", tmp_path / "fetched")
    target = str(FOLDER / f"{name}.toml") if command[-1] == "check" else name
    refused = run(*command, target)
    assert refused.exit_code == 1
    assert f"the pack {name} is not for commercial use (" in lines(refused)[-1]
    assert "--accept-license" in lines(refused)[-1]
    assert not (tmp_path / "fetched").exists()


@pytest.mark.parametrize("name", ["buffalo_sc", "buffalo_l"])
def test_with_consent_it_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setattr(download, "BACKOFF", wait_none())
    (tmp_path / "mirror").mkdir()
    monkeypatch.setattr(facegate.build.build, "FETCHED", tmp_path / "fetched")
    monkeypatch.setenv("FACEGATE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    refused = run("fetch", name, "--accept-license")
    assert "missing and could not be fetched" in refused.output
    assert f"https://github.com/deepinsight/insightface/releases/download/v0.7/{name}.zip" in refused.output


def test_packs_whose_files_are_not_here_say_so() -> None:
    marked = {name: [f for f, file in pack_named(name).files.items() if file.never_run] for name in shipped_packs()}
    assert marked == {
        "mobileface": [],
        "opencv": ["face_recognition_sface_2021dec.onnx"],
        "buffalo_sc": ["w600k_mbf.onnx"],
        "buffalo_l": ["det_10g.onnx", "w600k_r50.onnx"],
    }


MADE = {"opencv": made_nets.like_sface, "buffalo_sc": made_nets.like_arcface, "buffalo_l": made_nets.like_arcface}


@pytest.mark.parametrize("name", MADE)
def test_a_recognizer_that_is_not_here_is_proved_by_its_structure(
    weights: dict[str, Path], apart: None, tmp_path: Path, name: str
) -> None:
    """A made net of the same inputs and outputs goes the way of the file: graph, proof, any batch."""
    fields = own_packs.values_of(name) | {"name": "made", "commercial_use": True}
    made = MADE[name](tmp_path / fields["recognizer"]["file"])
    fields["files"] = {made.name: own_packs.local(made)}
    fields |= {"detector": own_packs.values_of("mobileface")["detector"]}
    for file in ("face_detection_yunet_2023mar.onnx", "MiniFASNetV2.onnx", "MiniFASNetV1SE.onnx"):
        shutil.copyfile(weights[file], tmp_path / file)
        fields["files"][file] = own_packs.local(tmp_path / file)
    fields.pop("archives", None)
    checked = run("packs", "check", own_packs.write(fields, tmp_path / "made.toml"), "--sheet", tmp_path / "sheet.png")
    assert checked.exit_code == 0, checked.output
    assert "face_recognizer  EMBEDDINGS" in checked.output


def test_a_packs_metadata_is_json_that_names_the_licence() -> None:
    pack = pack_named("buffalo_l")
    assert json.loads(pack.metadata())["licence"] == pack.licence
    assert json.loads(pack.metadata())["commercial_use"] is False
