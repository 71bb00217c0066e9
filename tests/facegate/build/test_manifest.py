"""A repository that differs from its manifest is built again; one that does not is left alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import facegate.build.build
from facegate.build.build import build
from facegate.build.checks.known_answers import KNOWN_ANSWERS, load_known_answers
from facegate.build.repository.manifest import MANIFEST, check_files, read_manifest
from facegate.packs.pack_file import PackFile
from support import own_packs


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, repository: Path, tmp_path: Path) -> list[str]:
    """What a build reports, which works on a copy of the repository."""
    shutil.copytree(repository, tmp_path / repository.name)
    monkeypatch.setattr(facegate.build.build, "REPOSITORIES", tmp_path)
    return []


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_an_unchanged_repository_is_up_to_date(said: list[str], pack: PackFile) -> None:
    build(pack, say=said.append)
    assert said == ["mobileface-onnxruntime-fp32: up to date"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (Path.unlink, MANIFEST),  # as a repository of 0.1 is
        (damage, "minifasnet_v2/1/cpu.onnx"),
        (damage, "face_verify/1/model.py"),
        (damage, KNOWN_ANSWERS),
        (Path.unlink, "face_detector/configs/onnxruntime.pbtxt"),
        (Path.touch, "minifasnet_v2/1/more.onnx"),
    ],
)
def test_a_changed_one_is_built_again(
    said: list[str], pack: PackFile, tmp_path: Path, change: Callable[[Path], None], name: str
) -> None:
    repository = tmp_path / "mobileface-onnxruntime-fp32"
    change(repository / name)
    assert build(pack, say=said.append) == repository
    assert said[-1] == "mobileface-onnxruntime-fp32: assembled"
    check_files(repository, read_manifest(repository).files, repository)


def test_without_liveness_models_the_known_answers_are_without_liveness(
    said: list[str], pack: PackFile, repository: Path
) -> None:
    known = load_known_answers(build(pack, liveness=False, say=said.append))
    assert not any(each.anti_spoofing for each in known)
    assert [set(each.outputs) for each in known] == [{"EMBEDDINGS"}, {"BOX_1", "BOX_2", "DISTANCE"}]
    assert np.allclose(known[0].outputs["EMBEDDINGS"], load_known_answers(repository)[0].outputs["EMBEDDINGS"])


def test_is_real_is_no_known_answer_where_a_permitted_difference_would_change_it(
    said: list[str], weights: dict[str, Path], tmp_path: Path
) -> None:
    values = own_packs.values_of("mobileface") | {"name": "strict"}
    for name in values["files"]:
        shutil.copyfile(weights[name], tmp_path / name)
        values["files"][name] = own_packs.local(tmp_path / name)
    values["liveness"]["min_real"] = 0.9998  # the live sample's P(live), but for 0.0001
    strict = own_packs.loaded(values, tmp_path)
    known = load_known_answers(build(strict, say=said.append))
    assert set(known[0].outputs) == {"EMBEDDINGS", "ANTISPOOF_SCORE"}
