"""Results are sound when made, or are not made."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any

import numpy as np
import pytest

from facegate_client import Face, Faces, Model, ServerFault, Verification

LANDMARKS = ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), (9.0, 10.0))

MODEL = Model("mobileface", "MIT", True, "abc", "e", "fp32", 0.4, local=True)


def face(**changed: Any) -> Face:
    return Face(**({"box": (1.0, 2.0, 3.0, 4.0), "score": 0.9, "landmarks": LANDMARKS} | changed))


def verification(**changed: Any) -> Verification:
    values: dict[str, Any] = {
        "verified": True,
        "distance": 0.25,
        "threshold": 0.5,
        "confidence": 50.0,
        "box_1": (1.0, 2.0, 3.0, 4.0),
        "box_2": (5.0, 6.0, 7.0, 8.0),
        "processing_time_ms": 12.5,
        "model": MODEL,
    }
    return Verification(**(values | changed))


def checked(is_real_1: bool, is_real_2: bool, **changed: Any) -> Verification:
    return verification(
        is_real_1=is_real_1, antispoof_score_1=0.98, is_real_2=is_real_2, antispoof_score_2=0.01, **changed
    )


def test_a_verification_is_true_where_it_is_verified() -> None:
    assert verification()
    assert not verification(verified=False, distance=0.6)
    assert checked(True, True)


@pytest.mark.parametrize(
    ("result", "images"),
    [
        (verification(), ()),
        (checked(True, True), ()),
        (checked(True, False, verified=False), (2,)),
        (checked(False, False, verified=False), (1, 2)),
    ],
)
def test_a_veto_names_its_images(result: Verification, images: tuple[int, ...]) -> None:
    assert result.not_live == images


@pytest.mark.parametrize(("one", "two"), [(False, True), (True, False), (False, False)])
def test_nothing_fake_is_verified(one: bool, two: bool) -> None:
    with pytest.raises(ServerFault, match="not live"):
        checked(one, two)


@pytest.mark.parametrize(
    "changed",
    [
        {"is_real_1": True},
        {"antispoof_score_1": 0.9},
        {"is_real_1": True, "antispoof_score_1": 0.9},
        {"is_real_2": True, "antispoof_score_2": 0.9},
        {"is_real_1": np.False_, "antispoof_score_1": 0.1, "is_real_2": True, "antispoof_score_2": 0.9},
        {"is_real_1": 1, "antispoof_score_1": 0.1, "is_real_2": True, "antispoof_score_2": 0.9},
        {"is_real_1": True, "antispoof_score_1": 1.5, "is_real_2": True, "antispoof_score_2": 0.9},
        {"is_real_1": True, "antispoof_score_1": float("nan"), "is_real_2": True, "antispoof_score_2": 0.9},
        {"verified": np.True_},
        {"verified": None},
        {"distance": float("nan")},
        {"distance": 0.6},
        {"threshold": float("inf")},
        {"confidence": float("nan")},
        {"processing_time_ms": float("inf")},
        {"box_1": (1.0, 2.0, 3.0)},
        {"box_2": (1.0, 2.0, 3.0, float("nan"))},
    ],
)
def test_an_impossible_verification_cannot_be_made(changed: dict[str, Any]) -> None:
    with pytest.raises(ServerFault):
        verification(**changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"is_real": True},
        {"antispoof_score": 0.5},
        {"is_real": np.True_, "antispoof_score": 0.9},
        {"is_real": True, "antispoof_score": -0.5},
        {"score": float("nan")},
        {"score": 1.5},
        {"box": (1.0, 2.0)},
        {"landmarks": LANDMARKS[:4]},
        {"landmarks": (*LANDMARKS[:4], (float("inf"), 0.0))},
        {"embedding": np.array([np.nan], np.float32)},
        {"embedding": np.zeros(2, np.float32)},
        {"embedding": np.array([1.01, 0.0], np.float32)},
        {"embedding": np.array([3e38, 3e38], np.float32)},
    ],
)
def test_an_impossible_face_cannot_be_made(changed: dict[str, Any]) -> None:
    with pytest.raises(ServerFault):
        face(**changed)


def test_a_hair_over_one_is_rounding() -> None:
    assert face(score=1.0000001, is_real=True, antispoof_score=1.0000001).is_real


def test_results_become_json() -> None:
    plain = json.loads(json.dumps(verification().as_dict(), allow_nan=False))
    assert list(plain) == [field.name for field in dataclasses.fields(Verification)]
    assert plain["is_real_1"] is None
    assert plain["antispoof_score_2"] is None
    assert plain["box_2"] == [5, 6, 7, 8]
    assert plain["model"] == {
        "pack": "mobileface",
        "licence": "MIT",
        "commercial_use": True,
        "digest": "abc",
        "embedding_digest": "e",
        "precision": "fp32",
        "threshold": 0.4,
        "local": True,
    }
    assert json.loads(json.dumps(checked(True, False, verified=False).as_dict()))["is_real_2"] is False

    described = face(embedding=np.array([0.0, -1.0], np.float32), is_real=False, antispoof_score=0.01)
    assert json.loads(json.dumps(described.as_dict())) == {
        "box": [1, 2, 3, 4],
        "score": 0.9,
        "landmarks": [list(point) for point in LANDMARKS],
        "embedding": [0.0, -1.0],
        "is_real": False,
        "antispoof_score": 0.01,
        "error": None,
    }
    faces = Faces([face()], MODEL, 3)
    assert faces.as_dict() == {"faces": [face().as_dict()], "face_count": 3, "model": plain["model"]}
    assert Faces([face()], MODEL).as_dict()["face_count"] is None
    assert face().as_dict()["embedding"] is None


def test_faces_are_a_list_that_is_copied_whole() -> None:
    faces = Faces([face()], MODEL)
    assert faces == [face()]
    assert copy.deepcopy(Faces([face()], MODEL, 2)).face_count == 2
    assert copy.deepcopy(faces).model == MODEL
    assert pickle.loads(pickle.dumps(faces)).model == MODEL


def test_results_are_values() -> None:
    assert face(embedding=np.array([0.0, 1.0], np.float32)) == face()
    assert {verification(), verification()} == {verification()}
    with pytest.raises(dataclasses.FrozenInstanceError):
        verification().verified = False  # type: ignore[misc]
