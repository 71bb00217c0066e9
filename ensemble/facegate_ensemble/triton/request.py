"""A Triton request's inputs and parameters, checked and turned into values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.contract import SeveralFaces
from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.image import check_size, decode
from facegate_ensemble.errors import invalid
from facegate_ensemble.faces_in import faces_in_errors
from facegate_ensemble.pack import Pack
from facegate_ensemble.pipeline.detection import Faces
from facegate_ensemble.policy import Policy

Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A request parameter: its type, its default (None: absent) and the range of a number, both ends included."""

    kind: type[bool] | type[int] | type[float] | type[SeveralFaces]
    default: bool | int | float | SeveralFaces | None
    least: float = 0.0
    most: float = 0.0


def analyze_parameters(pack: Pack) -> dict[str, Parameter]:
    """What face_analyze understands."""
    return {
        contract.ANTI_SPOOFING: Parameter(bool, False),
        contract.WITH_EMBEDDINGS: Parameter(bool, True),
        contract.MIN_SCORE: Parameter(float, pack.detector.min_score, 0.0, 1.0),
        contract.MAX_FACES: Parameter(int, contract.DEFAULT_MAX_FACES, 1, contract.MAX_FACES_LIMIT),
        contract.SEVERAL_FACES: Parameter(SeveralFaces, None),
    }


def verify_parameters(pack: Pack, policy: Policy) -> dict[str, Parameter]:
    """The parameters of face_verify. A threshold of 0 would verify nobody, and is refused."""
    return {
        contract.ANTI_SPOOFING: Parameter(bool, False),
        contract.DISTANCE_THRESHOLD: Parameter(
            float, pack.recognizer.threshold, contract.LEAST_THRESHOLD, policy.max_threshold
        ),
        contract.SEVERAL_FACES: Parameter(SeveralFaces, policy.several_faces),
    }


def verify_values(text: str, pack: Pack, policy: Policy) -> dict[str, Any]:
    """Every parameter's value for face_verify, as `read_parameters` returns them.

    Raises RequestError INVALID_ARGUMENT also for what `policy` forbids. The pack's own threshold is checked against it
    when the server starts.
    """
    values = read_parameters(text, verify_parameters(pack, policy))
    if policy.require_liveness and not values[contract.ANTI_SPOOFING]:
        raise invalid(f"{contract.ANTI_SPOOFING}: expected true: this server requires the liveness check")
    return values


def read_parameters(text: str, known: Mapping[str, Parameter]) -> dict[str, Any]:
    """Every known parameter's value from Triton's JSON object `text`.

    Raises RequestError INVALID_ARGUMENT for an unknown name, a wrong type or a value out of range. An int is
    accepted for a double, a bool for neither: silence about anti_spoofing misspelt would be a check that did not run.
    """
    try:
        given = json.loads(text) if text else {}
    except (ValueError, RecursionError):  # the latter where arrays or objects lie too deep in one another
        given = None
    if not isinstance(given, dict):
        raise invalid("the request's parameters cannot be read")
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise invalid(f"unknown parameter {_shown(unknown[0])}; known are {', '.join(known)}")
    return {name: _value(name, given[name], known[name]) if name in given else known[name].default for name in known}


def _value(name: str, value: object, parameter: Parameter) -> bool | int | float | SeveralFaces:
    if parameter.kind is SeveralFaces:
        choices = [choice.value for choice in SeveralFaces]
        if value not in choices:
            raise invalid(f"parameter {name} must be one of {', '.join(choices)}, not {_shown(value)}")
        return SeveralFaces(value)
    if parameter.kind is bool:
        if not isinstance(value, bool):
            raise invalid(f"parameter {name} must be a bool, not {_shown(value)}")
        return value
    accepted = (int,) if parameter.kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise invalid(f"parameter {name} must be {parameter.kind.__name__}, not {_shown(value)}")
    if not parameter.least <= value <= parameter.most:  # NaN compares false
        low = "more than 0" if parameter.least == contract.LEAST_THRESHOLD else f"at least {parameter.least:g}"
        raise invalid(f"parameter {name} must be {low} and at most {parameter.most:g}, not {_shown(value)}")
    return parameter.kind(value)


def _shown(value: object) -> str:
    """A caller's value, short enough for a message and free of control characters."""
    return ascii(value)[:40]


def read_image(inputs: Inputs, suffix: str = "") -> NDArray[np.uint8]:
    """UINT8 [H, W, 3] BGR from IMAGE or from FRAME and FRAME_SHAPE, whose names end in `suffix`.

    Decodes, so it takes milliseconds: call it in a thread. Raises RequestError INVALID_ARGUMENT.
    """
    encoded, frame, shape = (
        inputs.get(name + suffix) for name in (contract.IMAGE, contract.FRAME, contract.FRAME_SHAPE)
    )
    name = image_name(inputs, suffix)
    if (encoded is None) == (frame is None):
        raise invalid(f"give exactly one of {contract.IMAGE}{suffix} and {contract.FRAME}{suffix}")
    if (frame is None) != (shape is None):
        raise invalid(f"{contract.FRAME}{suffix} and {contract.FRAME_SHAPE}{suffix} go together")
    try:
        if encoded is not None:
            return decode(encoded.reshape(-1)[0])
        assert frame is not None and shape is not None  # noqa: S101 - told apart above
        height, width = (int(side) for side in shape.reshape(-1))
        return frame_image(frame.reshape(-1), height, width)
    except InvalidImage as error:
        raise invalid(f"{name}: {error}") from None


def frame_image(data: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Returns raw BGR bytes, UINT8 [height * width * 3], as UINT8 [height, width, 3]: a view, nothing is copied.

    Raises InvalidImage for a dimension below one, more than MAX_PIXELS, and a length that is not the shape's.
    """
    height, width = int(height), int(width)  # Python's integers: two int32 multiplied do not overflow
    if height < 1 or width < 1:
        raise InvalidImage(f"height and width must be above zero, got {height} and {width}")
    check_size(height, width)
    expected = height * width * 3
    if data.size != expected:
        raise InvalidImage(f"{height} x {width} x 3 is {expected} bytes, got {data.size}")
    return data.reshape(height, width, 3)


def image_name(inputs: Inputs, suffix: str = "") -> str:
    """The name of the input that carries the image: IMAGE or FRAME, with `suffix`."""
    return (contract.FRAME if contract.FRAME + suffix in inputs else contract.IMAGE) + suffix


def read_faces(values: NDArray[np.uint8], height: int, width: int) -> Faces:
    """Returns the faces of FACES_IN: little-endian FP32 [N, 14], x1 y1 x2 y2 and five landmarks' x y, in image pixels.

    Their scores are 1. Landmarks that coincide are accepted here: they are an error of that face alone. Raises
    RequestError INVALID_ARGUMENT when the bytes are not such an array, or a face breaks a rule of `faces_in_errors`.
    """
    row_bytes = 4 * contract.FACE_IN_VALUES
    if values.size % row_bytes:
        raise invalid(f"{contract.FACES_IN}: {values.size} bytes are not rows of {row_bytes}")
    rows = np.frombuffer(values.tobytes(), dtype="<f4").reshape(-1, contract.FACE_IN_VALUES).astype(np.float32)
    if len(rows) > contract.MAX_FACES_LIMIT:
        raise invalid(f"{contract.FACES_IN}: {len(rows)} faces, at most {contract.MAX_FACES_LIMIT}")
    for rule, broken in faces_in_errors(rows, height, width).items():
        if broken.any():
            raise invalid(f"{contract.FACES_IN}: face {int(np.flatnonzero(broken)[0])} {rule}")
    boxes, landmarks = rows[:, :4], rows[:, 4:].reshape(-1, 5, 2)
    return Faces(boxes, np.ones(len(rows), dtype=np.float32), landmarks)
