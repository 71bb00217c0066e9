"""From the tensors of an answer to results. Whatever breaks the contract is a ServerFault, never a result.

A liveness answer must be there exactly where it was asked for, so that a missing one cannot pass as "not checked".
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.errors import ServerFault
from facegate_client.results import Box, Face, Faces, Model, Verification
from facegate_client.transport.base import Answer, Outputs

_ANY = -1
_MODEL_FIELDS = {
    "pack": str,
    "licence": str,
    "commercial_use": bool,
    "digest": str,
    "embedding_digest": str,
    "precision": str,
    "threshold": float,
}


def read_verification(answer: Answer, *, anti_spoofing: bool) -> Verification:
    """face_verify's answer; raises ServerFault."""
    outputs = answer.outputs
    is_real_1, score_1 = _liveness(outputs, "_1", 1, anti_spoofing)
    is_real_2, score_2 = _liveness(outputs, "_2", 1, anti_spoofing)
    return Verification(
        verified=bool(_take(outputs, contract.VERIFIED, np.bool_, 1)[0]),
        distance=_number(outputs, contract.DISTANCE),
        threshold=_number(outputs, contract.THRESHOLD),
        confidence=_number(outputs, contract.CONFIDENCE),
        box_1=_box(_take(outputs, contract.BOX + "_1", np.float32, 4)),
        box_2=_box(_take(outputs, contract.BOX + "_2", np.float32, 4)),
        is_real_1=is_real_1[0],
        antispoof_score_1=score_1[0],
        is_real_2=is_real_2[0],
        antispoof_score_2=score_2[0],
        processing_time_ms=_number(outputs, contract.PROCESSING_TIME_MS),
        face_count_1=_face_count(outputs, "_1"),
        face_count_2=_face_count(outputs, "_2"),
        model=read_model(answer),
    )


def read_faces(answer: Answer, *, anti_spoofing: bool, embeddings: bool, given: bool, one: bool = False) -> Faces:
    """face_analyze's answer, in its order (by score, descending); raises ServerFault.

    `given`: the caller said where the faces are, and some of them may have no embedding. `one`: at most one face was
    requested.
    """
    outputs = answer.outputs
    boxes = _take(outputs, contract.BOXES, np.float32, _ANY, 4)
    count = len(boxes)
    if one and count > 1:
        raise ServerFault(f"the answer has {count} faces, but several_faces allows one")
    scores = _take(outputs, contract.SCORES, np.float32, count).tolist()
    landmarks = _take(outputs, contract.LANDMARKS, np.float32, count, 5, 2)
    described = _take(outputs, contract.EMBEDDINGS, np.float32, count, _ANY) if embeddings else [None] * count
    told = (embeddings and given) or contract.FACE_ERRORS in outputs
    errors = _texts(outputs, contract.FACE_ERRORS, count) if told else [""] * count
    is_real, antispoof_scores = _liveness(outputs, "", count, anti_spoofing)
    faces = (
        Face(
            box=_box(boxes[row]),
            score=scores[row],
            landmarks=tuple((float(x), float(y)) for x, y in landmarks[row]),
            embedding=None if errors[row] else described[row],
            is_real=is_real[row],
            antispoof_score=antispoof_scores[row],
            error=errors[row] or None,
        )
        for row in range(count)
    )
    return Faces(faces, read_model(answer), _face_count(outputs))


def read_model(answer: Answer) -> Model:
    """Which nets gave the answer; raises ServerFault."""
    (text,) = _texts(answer.outputs, contract.MODEL, 1)
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict) or any(type(said.get(name)) is not kind for name, kind in _MODEL_FIELDS.items()):
        raise ServerFault(
            f"the answer's {contract.MODEL} is {text[:200]!r}, expected JSON of {', '.join(_MODEL_FIELDS)}"
        )
    if not 0 < said["threshold"] <= 2:  # NaN fails
        raise ServerFault(f"the answer's {contract.MODEL} has the threshold {said['threshold']}, expected (0, 2]")
    return Model(**{name: said[name] for name in _MODEL_FIELDS}, local=answer.local)


def _face_count(outputs: Outputs, suffix: str = "") -> int | None:
    """None where the server does not say: one of before this output, or face_analyze without several_faces."""
    name = contract.FACE_COUNT + suffix
    return int(_take(outputs, name, np.int32, 1)[0]) if name in outputs else None


def _liveness(
    outputs: Outputs, suffix: str, count: int, asked_for: bool
) -> tuple[list[bool] | list[None], list[float] | list[None]]:
    names = contract.IS_REAL + suffix, contract.ANTISPOOF_SCORE + suffix
    if asked_for:
        return _take(outputs, names[0], np.bool_, count).tolist(), _take(outputs, names[1], np.float32, count).tolist()
    if any(name in outputs for name in names):
        raise ServerFault(f"the answer has {names[0]} or {names[1]}, but anti_spoofing was not asked for")
    return [None] * count, [None] * count


def _take(outputs: Outputs, name: str, dtype: type[np.generic], *shape: int) -> NDArray[Any]:
    values = outputs.get(name)
    if values is None:
        raise ServerFault(f"the answer lacks {name}")
    if values.dtype != dtype or not _fits(values.shape, shape):
        raise ServerFault(
            f"the answer's {name} is {values.dtype} {list(values.shape)}, expected {np.dtype(dtype)} {list(shape)}"
        )
    return values


def _texts(outputs: Outputs, name: str, count: int) -> list[str]:
    try:
        return [str(value, "utf-8") for value in _take(outputs, name, np.object_, count)]
    except (TypeError, ValueError) as error:
        raise ServerFault(f"the answer's {name} is no text: {error}") from error


def _fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(shape) == len(expected) and all(want in (_ANY, have) for have, want in zip(shape, expected, strict=True))


def _number(outputs: Outputs, name: str) -> float:
    return float(_take(outputs, name, np.float32, 1)[0])


def _box(row: NDArray[Any]) -> Box:
    x1, y1, x2, y2 = row.tolist()
    return x1, y1, x2, y2
