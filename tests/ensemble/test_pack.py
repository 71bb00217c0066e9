"""Packs: the shipped ones load, and a broken one is refused in one line that names the fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensemble.pack import Pack, PackError, load_pack

PACKS = Path(__file__).resolve().parents[2] / "packs"
SHIPPED = sorted(path for path in PACKS.glob("*.toml") if path.stem != "samples")
TEXT = (PACKS / "mobileface.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_pack_loads_under_its_own_name(path: Path) -> None:
    assert load_pack(path).name == path.stem


def test_the_default_pack_says_how_every_net_is_served(pack: Pack) -> None:
    assert set(pack.nets) == {"face_detector", "face_recognizer", "minifasnet_v2", "minifasnet_v1se"}
    assert [net.crop_scale for net in pack.liveness.nets] == [2.7, 4.0]
    assert (pack.liveness.min_real, pack.recognizer.dimension) == (0.5, 128)


def test_a_pack_survives_the_way_through_a_servers_configuration(pack: Pack) -> None:
    assert Pack.model_validate_json(pack.model_dump_json()) == pack


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param('head = "yunet"\n', "", "detector.head: ", id="a missing field"),
        pytest.param('licence = "MIT and Apache-2.0"\n', "", "licence: ", id="a missing licence"),
        pytest.param("[liveness]\n", "[liveliness]\n", "liveness", id="a missing section"),
        pytest.param("8f2383e4", "8F2383E4", "sha256: ", id="upper-case sha256"),
        pytest.param("8f2383e4", "8f2383e", "sha256: ", id="short sha256"),
        pytest.param("size = 232589", "size = 0", "size: ", id="no size"),
        pytest.param('url = "https:', 'url = "file:', "url: ", id="not a web address"),
        pytest.param("[58.395, 57.12, 57.375]", "[58.395, 0.0, 57.375]", "recognizer: ", id="a zero std"),
        pytest.param("[58.395, 57.12, 57.375]", "[58.395, nan, 57.375]", "recognizer.std.1: ", id="NaN"),
        pytest.param("[58.395, 57.12, 57.375]", "[58.395, 57.12]", "recognizer.std", id="two channels"),
        pytest.param("threshold = 0.57", "threshold = inf", "recognizer.threshold: ", id="infinity"),
        pytest.param("threshold = 0.57", "threshold = 0.0", "recognizer.threshold: ", id="a threshold of zero"),
        pytest.param("min_score = 0.7", "min_score = 1.7", "detector.min_score: ", id="a score over 1"),
        pytest.param("min_score = 0.7", "minscore = 0.7", "detector.minscore: ", id="an unknown key"),
        pytest.param('colour = "RGB"', 'colour = "RBG"', "recognizer.colour: ", id="an unknown colour order"),
        pytest.param("crop_scale = 4.0", "crop_scale = 0.5", "liveness.nets.1.crop_scale: ", id="less than the face"),
        pytest.param("candidates = 1024", "candidates = 3841", "detector.candidates: ", id="too many for TopK"),
        pytest.param("    [70.7299, 92.2041],\n", "", "recognizer.template: ", id="four points"),
        pytest.param('file = "MobileFaceNet.onnx"', 'file = "Other.onnx"', "Other.onnx", id="a file not listed"),
        pytest.param('file = "MobileFaceNet.onnx"', 'file = "../x.onnx"', "recognizer.file: ", id="a file elsewhere"),
        pytest.param('name = "minifasnet_v1se"', 'name = "minifasnet_v2"', "same name", id="two nets of a name"),
        pytest.param('name = "minifasnet_v1se"', 'name = "../v1se"', "liveness.nets.1.name: ", id="a name elsewhere"),
        pytest.param("[detector]", "[detector", "is not TOML: ", id="not TOML"),
    ],
)
def test_a_broken_pack_is_refused_in_one_line_that_names_the_fault(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    assert old in TEXT
    path = tmp_path / "broken.toml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(PackError) as refusal:
        load_pack(path)
    assert fault in str(refusal.value)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


def test_every_fault_of_a_pack_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(TEXT.replace("max_batch = 8", "max_batch = 0").replace("dimension = 128", ""), encoding="utf-8")
    with pytest.raises(PackError, match=r"detector\.max_batch: .*; recognizer\.dimension: "):
        load_pack(path)


def test_a_pack_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="no pack at "):
        load_pack(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PackError, match="is not TOML"):
        load_pack(tmp_path / "binary.toml")


@pytest.mark.parametrize("name", ["face_analyze", "face_verify"])
def test_a_net_with_the_name_of_an_ensemble_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(TEXT.replace('name = "minifasnet_v1se"', f'name = "{name}"'), encoding="utf-8")
    with pytest.raises(PackError, match=name):
        load_pack(path)
