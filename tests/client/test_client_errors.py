"""From a refusal's status and message to the exception, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from facegate_client import (
    BadImage,
    Code,
    DeadlineExceeded,
    FaceGateError,
    InvalidRequest,
    LivenessUnavailable,
    NoFace,
    Overloaded,
    ServerFault,
    Unreachable,
)
from facegate_client.errors import from_status, from_triton


@pytest.mark.parametrize(
    ("message", "kind", "reason"),
    [
        ("INVALID_ARGUMENT: unknown parameter 'x'", InvalidRequest, "unknown parameter 'x'"),
        ("INVALID_ARGUMENT: IMAGE: empty", BadImage, "IMAGE: empty"),
        ("INVALID_ARGUMENT: FRAME_SHAPE_1: a zero dimension", BadImage, "FRAME_SHAPE_1: a zero dimension"),
        ("INVALID_ARGUMENT: image 2 is truncated", BadImage, "image 2 is truncated"),
        ("INVALID_ARGUMENT: imagery", InvalidRequest, "imagery"),
        ("NOT_FOUND: no face in image 1", NoFace, "no face in image 1"),
        ("FAILED_PRECONDITION: run facegate fetch", LivenessUnavailable, "run facegate fetch"),
        ("RESOURCE_EXHAUSTED: no permit", Overloaded, "no permit"),
        ("INTERNAL: NOT_FOUND: no face in image 1", ServerFault, "NOT_FOUND: no face in image 1"),
        ("[request id: 7] NOT_FOUND: no face in image 1", NoFace, "no face in image 1"),
        ("[request id: <id_unknown>] INTERNAL: a fault", ServerFault, "a fault"),
        ("in ensemble 'verify', NOT_FOUND: no face in image 1", NoFace, "no face in image 1"),
        ("[request id: 7] in ensemble 'verify', [request id: 7] INTERNAL: x", ServerFault, "x"),
        ("INTERNAL: two\nlines", ServerFault, "two\nlines"),
    ],
)
@pytest.mark.parametrize("status", ["StatusCode.UNKNOWN", "503", None])
def test_the_message_wins_over_the_status(
    status: str | None, message: str, kind: type[FaceGateError], reason: str
) -> None:
    error = from_status(status, message)
    assert type(error) is kind
    assert str(error) == reason
    assert error.code is kind.code


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        (("StatusCode.INVALID_ARGUMENT", "INVALID_ARGUMENT", "400", "413"), InvalidRequest),
        (("StatusCode.UNAVAILABLE", "StatusCode.CANCELLED", "502", "503"), Unreachable),
        (("StatusCode.NOT_FOUND", "404"), Unreachable),
        (("StatusCode.DEADLINE_EXCEEDED", "408", "504"), DeadlineExceeded),
        (("StatusCode.RESOURCE_EXHAUSTED", "429"), Overloaded),
        (("StatusCode.INTERNAL", "StatusCode.UNKNOWN", "500"), ServerFault),
        (("StatusCode.UNIMPLEMENTED", "501"), ServerFault),
        (("StatusCode.UNAUTHENTICATED", "403", "418", None, ""), FaceGateError),
    ],
)
def test_without_a_code_the_status_decides(statuses: tuple[str | None, ...], kind: type[FaceGateError]) -> None:
    for status in statuses:
        assert type(from_status(status, "something else: went wrong")) is kind


@pytest.mark.parametrize(
    "message",
    [
        "unexpected inference input 'NOT_FOUND: no face in image 1' for model 'face_verify'",
        "not_found: no face in image 1",
        "NOT_FOUND no face in image 1",
        "XNOT_FOUND: no face in image 1",
    ],
)
def test_a_code_elsewhere_in_a_message_is_no_code(message: str) -> None:
    assert not isinstance(from_status("StatusCode.INTERNAL", message), NoFace)


@pytest.mark.parametrize(
    ("message", "image"),
    [("no face in image 1", 1), ("no face in image 2", 2), ("no face", None), ("no face in image 12", None)],
)
def test_no_face_says_in_which_image(message: str, image: int | None) -> None:
    error = from_status("404", f"NOT_FOUND: {message}")
    assert isinstance(error, NoFace)
    assert error.image == image


def test_too_large_a_message_is_not_overload() -> None:
    error = from_status("StatusCode.RESOURCE_EXHAUSTED", "CLIENT: Sent message larger than max (9 vs. 4)")
    assert type(error) is InvalidRequest


def test_an_empty_message_still_says_something() -> None:
    assert str(from_status("503", "")) == "refused without a reason (status 503)"


def test_what_tritonclient_raises_is_read() -> None:
    error = from_triton(InferenceServerException("NOT_FOUND: no face in image 2", status="StatusCode.NOT_FOUND"))
    assert isinstance(error, NoFace)
    assert (error.image, error.code) == (2, Code.NOT_FOUND)
    assert type(from_triton(InferenceServerException(None))) is FaceGateError


@given(st.text(), st.text() | st.none())
def test_every_refusal_is_an_error_of_ours_with_words(message: str, status: str | None) -> None:
    assert isinstance(from_status(status, message), FaceGateError)


def test_every_code_has_its_exception() -> None:
    for code in Code:
        assert from_status(None, f"{code.value}: why").code is code
