"""Packs: the shipped ones load, and a broken one is refused in one line that names the fault."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facegate.errors import PackError
from facegate.packs.pack_file import PackFile, load_pack
from facegate.packs.shipped import FOLDER, pack_named
from facegate_ensemble.pack import KeepFp32, Pack

SHIPPED = sorted(path for path in FOLDER.glob("*.toml") if path.stem != "samples")
TEXT = (FOLDER / "mobileface.toml").read_text(encoding="utf-8")
OF_MOBILEFACENET = next(line for line in TEXT.splitlines(keepends=True) if line.startswith("url") and "foam" in line)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_pack_loads_under_its_own_name(path: Path) -> None:
    assert load_pack(path).name == path.stem


def test_the_default_pack_says_how_every_net_is_served(pack: PackFile) -> None:
    liveness = ("minifasnet_v2", "minifasnet_v1se")
    assert set(pack.nets) == {"face_detector", "face_detector_256x256", "face_recognizer", *liveness}
    assert [net.crop_scale for net in pack.liveness.nets] == [2.7, 4.0]
    assert (pack.liveness.min_real, pack.recognizer.dimension) == (0.5, 128)


def test_a_built_pack_survives_the_way_through_a_servers_configuration(
    pack: PackFile, weights: dict[str, Path]
) -> None:
    built = pack.built(weights)
    assert Pack.model_validate_json(built.model_dump_json()) == built


def test_digests_tell_apart_what_answers_depend_on_and_nothing_else(
    pack: PackFile, weights: dict[str, Path], tmp_path: Path
) -> None:
    def digests(pack: PackFile = pack, **other: Path) -> tuple[str, str]:
        built = pack.built({**{file: weights[file] for file in pack.files}, **other})
        return built.digest, built.embedding_digest

    both, embeddings = digests()
    assert len(both) == len(embeddings) == 64
    assert both != embeddings
    talked_about = {"description": "another", "licence": "another", "name": "another"}
    assert digests(pack.model_copy(update=talked_about)) == (both, embeddings)
    batched = pack.detector.model_copy(update={"max_batch": 1})
    assert digests(pack.model_copy(update={"detector": batched})) == (both, embeddings)
    kept = pack.recognizer.model_copy(update={"keep_fp32": KeepFp32(fp16=("/conv1/conv1.0/Conv",))})
    assert digests(pack.model_copy(update={"recognizer": kept})) == (both, embeddings)

    (tmp_path / "other").write_bytes(b"weights")
    for file in pack.files:
        changed = digests(**{file: tmp_path / "other"})
        assert changed[0] != both
        assert (changed[1] != embeddings) == (file == pack.recognizer.file)
    for field, value in {"colour": "BGR", "threshold": 0.5, "template": pack.recognizer.template[::-1]}.items():
        changed = digests(pack.model_copy(update={"recognizer": pack.recognizer.model_copy(update={field: value})}))
        assert changed[0] != both
        assert (changed[1] != embeddings) == (field != "threshold")
    assert digests(pack.model_copy(update={"liveness": None})) != (both, embeddings)
    stricter = pack.liveness.model_copy(update={"min_real": 0.6})
    assert digests(pack.model_copy(update={"liveness": stricter})) != (both, embeddings)


EMBEDDING_DIGESTS = {
    "buffalo_l": "0d4765330bec7c00e815af3b4e3892cfa3ff09564ab4ba5469097b493d5c5d84",
    "buffalo_sc": "f1a60ea6190b63494e48b0d4cc598b75199cf9565a4a7c510c9feda841d1802a",
    "mobileface": "37c75e541bc3e3e5c440a303819e839412498171092825232de8bc6323d9454a",
    "opencv": "dcf5b58b148fb391f0bf0bc0750d20accaf9cd335f328fb4efc9f5a7532d6e62",
}
"""Galleries store this value with every embedding and search only their own: it must not change while the recognizer
and its input do not."""


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_embedding_digest_of_a_shipped_pack_is_pinned(path: Path) -> None:
    pack = load_pack(path)
    weights_sha256 = pack.files[pack.recognizer.file].sha256
    assert pack.embedding_digest_of(weights_sha256) == EMBEDDING_DIGESTS[path.stem]


def test_the_default_packs_digests_are_those_of_its_first_release(pack: PackFile, weights: dict[str, Path]) -> None:
    """Embeddings that users have stored are compared by them."""
    files = {file: weights[file] for file in pack.files}
    built = pack.built(files)
    assert built.embedding_digest == "37c75e541bc3e3e5c440a303819e839412498171092825232de8bc6323d9454a"
    once = pack.detector.model_copy(update={"second_look": None})
    looks_once = pack.model_copy(update={"detector": once}).built(files)
    assert looks_once.embedding_digest == built.embedding_digest
    assert looks_once.digest == "e96c8759d619da0157f50d24e3574044ee74c36d178d259f8b227fd2ccd51220" != built.digest


def test_layers_to_keep_in_fp32_are_named_for_each_precision(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        TEXT.replace("dimension = 128", 'dimension = 128\nkeep_fp32 = { fp16 = ["a", "b"] }'), encoding="utf-8"
    )
    assert load_pack(path).recognizer.keep_fp32 == KeepFp32(fp16=("a", "b"))
    assert load_pack(path).liveness.nets[0].keep_fp32.fp16 == ()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param('head = "yunet"\n', "", "detector.head: ", id="a missing field"),
        pytest.param('licence = "MIT and Apache-2.0"\n', "", "licence: ", id="a missing licence"),
        pytest.param("[liveness]\n", "[liveliness]\n", "liveness", id="an unknown section"),
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
        pytest.param(
            "min_score = 0.7",
            "min_score = 0.7\nkeep_fp32.int8 = []",
            "detector.keep_fp32.int8: ",
            id="a precision of 0.1",
        ),
        pytest.param(
            "min_score = 0.7",
            'min_score = 0.7\nkeep_fp32.fp16 = ["a", ""]',
            "keep_fp32.fp16.1: ",
            id="a nameless layer",
        ),
        pytest.param("commercial_use = true\n", "", "commercial_use: ", id="a missing permission"),
        pytest.param("height = 640", "height = 630", "detector: ", id="half a cell"),
        pytest.param(
            "[256, 256]", "[256, 250]", "detector: second_look must be multiples of 32", id="half a cell again"
        ),
        pytest.param("[256, 256]", "[640, 640]", "detector: second_look must be smaller", id="the same size"),
        pytest.param("[256, 256]", "[256, 672]", "detector: second_look must be smaller", id="a wider second look"),
        pytest.param("[256, 256]", "[0, 256]", "detector.second_look.0: ", id="a second look at nothing"),
        pytest.param("[256, 256]", "[-256, 256]", "detector.second_look.0: ", id="a negative second look"),
        pytest.param("[256, 256]", "[256.0, 256]", "detector.second_look.0: ", id="a fraction for a second look"),
        pytest.param("[256, 256]", "[256]", "detector.second_look", id="one side of a second look"),
        pytest.param("[256, 256]", "[256, 256, 3]", "detector.second_look", id="three sides of a second look"),
        pytest.param("second_look = [256, 256]", "second_look = 256", "detector.second_look: ", id="no pair"),
        pytest.param('head = "yunet"', 'head = "retinaface"', "detector.head: ", id="an unknown family"),
        pytest.param("[38.2946, 51.6963]", "[138.2946, 51.6963]", "recognizer: ", id="a point outside the crop"),
        pytest.param("min_real = 0.5", "min_real = 0.5\nreal_class = 3", "liveness: ", id="no such class"),
        pytest.param('url = "https://github.com/foam', 'path = "a"\nurl = "https://g', "exactly one", id="two origins"),
        pytest.param('url = "https://github.com/foam', 'x = "', "MobileFaceNet.onnx.x", id="an unknown origin"),
        pytest.param(
            'url = "https://github.com/yak', 'path = "', "a path has no alternative", id="a path's alternative"
        ),
        pytest.param(OF_MOBILEFACENET, 'archive = "a.zip"\n', "the archive a.zip, which", id="an archive not listed"),
        pytest.param("[files", '[files."x.onnx.part"]\n[files', "files.x.onnx.part", id="a name that is no net's"),
        pytest.param("threshold = 0.57", "threshold = true", "recognizer.threshold: ", id="a bool for a number"),
        pytest.param("height = 640", 'height = "640"', "detector.height: ", id="text for a number"),
        pytest.param("commercial_use = true", 'commercial_use = "on"', "commercial_use: ", id="text for a bool"),
        pytest.param("[detector]", f"deep = {'[' * 5000}{']' * 5000}\n[detector]", "is not TOML: ", id="too deep"),
        pytest.param("size = 232589", f"size = {'9' * 5000}", "is not TOML: ", id="5,000 digits"),
        pytest.param("[detector]", '"a\\u001bb" = 1\n[detector]', "a?b", id="a key that writes to the terminal"),
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


@pytest.mark.parametrize(
    "name",
    ["face_analyze", "face_verify", "face_detector", "face_recognizer", "face_detector_256x256", "face_detector_64x96"],
)
def test_a_net_with_the_name_of_another_model_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(TEXT.replace('name = "minifasnet_v1se"', f'name = "{name}"'), encoding="utf-8")
    with pytest.raises(PackError, match=name):
        load_pack(path)


FIELDS = pack_named("mobileface").model_dump(mode="json", exclude_none=True, exclude_defaults=True)
scalars = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.floats(), st.text(max_size=20))
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner), max_leaves=6
)


def places(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Every key and index of the pack, however deep."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield (*path, key)
        yield from places(inner, (*path, key))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(sorted(places(FIELDS), key=str)), value=anything)
def test_any_value_anywhere_is_taken_or_refused_by_its_fields_name(
    tmp_path: Path, place: tuple[Any, ...], value: object
) -> None:
    fields = copy.deepcopy(FIELDS)
    section: Any = fields
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    path = tmp_path / "wild.toml"
    path.write_text(tomli_w.dumps(fields), encoding="utf-8")
    try:
        load_pack(path)
    except PackError as refusal:
        assert "\n" not in str(refusal)
        assert refusal.faults
