"""From a method's arguments to the call that goes out, and what reads its answer. No input or output but files."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.answers import read_faces, read_verification
from facegate_client.contract import SeveralFaces
from facegate_client.errors import InvalidRequest
from facegate_client.images import ImageLike, faces_tensor, image_tensors
from facegate_client.results import Faces, Verification
from facegate_client.transport.base import Answer, Call, Parameter

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Request(Generic[Result]):
    """What to send, and how to read what comes back: `read` raises ServerFault."""

    call: Call
    read: Callable[[Answer], Result]


def verification(
    a: ImageLike, b: ImageLike, *, threshold: float | None, anti_spoofing: bool, several_faces: str | None = None
) -> Request[Verification]:
    """FaceClient.verify's. Reads image files; raises InvalidRequest."""
    checked = flag("anti_spoofing", anti_spoofing)
    parameters = _parameters(
        {
            contract.DISTANCE_THRESHOLD: _real("threshold", threshold),
            contract.ANTI_SPOOFING: checked,
            contract.SEVERAL_FACES: _several_faces(several_faces),
        }
    )
    call = Call(contract.VERIFY, image_tensors(a, 1) + image_tensors(b, 2), parameters)
    return Request(call, lambda answer: read_verification(answer, anti_spoofing=checked))


def analysis(
    image: ImageLike,
    *,
    anti_spoofing: bool,
    embeddings: bool,
    min_score: float | None,
    max_faces: int | None,
    faces: NDArray[Any] | None,
    several_faces: str | None = None,
) -> Request[Faces]:
    """FaceClient.analyze's. Reads an image file; raises InvalidRequest."""
    checked, described = flag("anti_spoofing", anti_spoofing), flag("embeddings", embeddings)
    given = faces is not None
    parameters = _parameters(
        {
            contract.ANTI_SPOOFING: checked,
            contract.WITH_EMBEDDINGS: described,
            contract.MIN_SCORE: _real("min_score", min_score),
            contract.MAX_FACES: _count("max_faces", max_faces),
            contract.SEVERAL_FACES: _several_faces(several_faces),
        }
    )
    inputs = image_tensors(image)
    if faces is not None:
        inputs.append(faces_tensor(faces))
    return Request(
        Call(contract.ANALYZE, inputs, parameters),
        lambda answer: read_faces(
            answer, anti_spoofing=checked, embeddings=described, given=given, one=several_faces is not None
        ),
    )


def flag(name: str, value: object) -> bool:
    """Returns `value`, which must be a bool: None, 0 or "" must not mean "no liveness check". Raises InvalidRequest."""
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name}: expected True or False, got {str(value)[:40]!r} ({type(value).__name__})")
    return value


def _parameters(values: dict[str, Parameter | None]) -> dict[str, Parameter]:
    return {name: value for name, value in values.items() if value is not None}


def _several_faces(value: str | None) -> str | None:
    """Sent only where the caller chose: a server of before it refuses a parameter that it does not know."""
    if value is None:
        return None
    try:
        return SeveralFaces(value).value
    except ValueError:
        choices = ", ".join(choice.value for choice in SeveralFaces)
        raise InvalidRequest(f"several_faces: expected one of {choices}, got {value!r}") from None


def _real(name: str, value: float | None) -> float | None:
    """A Python float, which is what travels as a double; range is the server's matter."""
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or isinstance(value, str):
        raise InvalidRequest(f"{name}: expected a finite number, got {value!r}")
    return number


def _count(name: str, value: int | None) -> int | None:
    if value is None:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or not 1 <= number <= contract.MAX_FACES_LIMIT:
        raise InvalidRequest(f"{name}: expected a whole number in 1-{contract.MAX_FACES_LIMIT}, got {value!r}")
    return number
