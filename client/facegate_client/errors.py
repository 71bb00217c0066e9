"""What a caller can catch: one exception for each kind of failure, and the map from Triton's answers to it.

`str(error)` is the reason without the code's name; `error.code` is the contract's code, None where no server gave one.
"""

from __future__ import annotations

import re
from typing import ClassVar

from tritonclient.utils import InferenceServerException

from facegate_client.contract import MEMORY_FULL_REASON, TRITON_MEMORY_FULL, Code

_JOINERS = "\u200c\u200d"


def printable(text: str, joiners: bool = False) -> str:
    """`text` with a question mark for each character that a terminal might obey, or that is not valid Unicode.

    With `joiners` the two zero-width joiners stay: they are part of how Persian, Hindi and other names are written.
    """
    if text.isprintable():
        return text
    kept = _JOINERS if joiners else ""
    return "".join(each if each.isprintable() or each in kept else "?" for each in text)


class FaceGateError(Exception):
    """Anything that kept a call from being answered; catch this one to catch all of them."""

    code: ClassVar[Code | None] = None
    request_id: str | None = None
    """The gateway's name for the call, which stands in its log too; None where no gateway answered."""


class InvalidRequest(FaceGateError):
    """The request itself is wrong; sending it again changes nothing."""

    code = Code.INVALID_ARGUMENT


class BadImage(InvalidRequest):
    """An image or frame is unreadable, too large, of the wrong dtype or shape, or shows several faces where
    `several_faces` is "refuse"."""

    code = Code.INVALID_ARGUMENT


class NoFace(FaceGateError):
    """An image of a verification shows no face. `image` says which: 1, 2, or None where the server did not say."""

    code = Code.NOT_FOUND

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        named = re.search(r"\bimage ([12])\b", reason)
        self.image: int | None = int(named.group(1)) if named else None


class LivenessUnavailable(FaceGateError):
    """anti_spoofing was asked for and the server has no liveness nets. Nothing was verified."""

    code = Code.FAILED_PRECONDITION


class Overloaded(FaceGateError):
    """The server is healthy and full. Try again shortly."""

    code = Code.RESOURCE_EXHAUSTED


class ServerFault(FaceGateError):
    """The server failed, or its answer breaks the contract. Its log has the cause."""

    code = Code.INTERNAL


class NotAuthenticated(FaceGateError):
    """The gateway wants an API key, and was shown none that it knows."""


class NoSuchPerson(FaceGateError):
    """The gateway remembers nobody of this id."""

    code = Code.NOT_FOUND


class NotLive(FaceGateError):
    """A face that was to be remembered was checked, and is fake. Nobody was enrolled."""

    code = Code.INVALID_ARGUMENT


class DeadlineExceeded(FaceGateError):
    """No answer within the client's deadline. Whether the server did the work is unknown."""


class Unreachable(FaceGateError):
    """No FaceGate server answers at the address: refused, broken off, or its models are not loaded (yet)."""


_OF_CODE: dict[Code, type[FaceGateError]] = {
    Code.INVALID_ARGUMENT: InvalidRequest,
    Code.NOT_FOUND: NoFace,
    Code.FAILED_PRECONDITION: LivenessUnavailable,
    Code.RESOURCE_EXHAUSTED: Overloaded,
    Code.INTERNAL: ServerFault,
}

# Only for messages without a code, which are Triton's own, a proxy's or the transport's. A NOT_FOUND without a code is
# Triton's unknown model, never a missing face; an UNIMPLEMENTED without one says nothing about liveness.
_OF_STATUS: dict[str, type[FaceGateError]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "NOT_FOUND": Unreachable,
    "UNAVAILABLE": Unreachable,
    "CANCELLED": Unreachable,  # by the server, which breaks off what is under way when it ends
    "RESOURCE_EXHAUSTED": Overloaded,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNIMPLEMENTED": ServerFault,
    "INTERNAL": ServerFault,
    "UNKNOWN": ServerFault,
    "400": InvalidRequest,
    "404": Unreachable,
    "408": DeadlineExceeded,
    "413": InvalidRequest,
    "429": Overloaded,
    "500": ServerFault,
    "501": ServerFault,
    "502": Unreachable,
    "503": Unreachable,
    "504": DeadlineExceeded,
}

# Triton may put "[request id: x] " or "in ensemble 'x', " before a model's own message.
_CODED = re.compile(
    r"^\s*(?:(?:\[[^\]]*\]|in ensemble [^,]*,)\s*)*(?P<code>" + "|".join(Code.__members__) + r"):\s*(?P<reason>.*)$",
    re.DOTALL,
)
_NO_SUCH_SERVICE = ("", "Method not found!")
"""What gRPC itself says of a service that is not there, in C++ and in Python."""

_CLOSED = re.compile(r"^failed to connect to all addresses.*\bSocket closed$")
"""A server hung up on who said hello: in clear text to TLS, without the certificate that it asks for, or to HTTP 1."""

_ABOUT_AN_IMAGE = re.compile(r"(?<![A-Za-z])(?:image|frame)s?(?![A-Za-z])", re.IGNORECASE)


def from_status(status: str | None, message: str) -> FaceGateError:
    """The error for a refused call.

    `status` is gRPC's ("StatusCode.NOT_FOUND", with or without "StatusCode.") or HTTP's ("404"); the code that the
    message begins with is believed first, since streams and HTTP carry no gRPC status.
    """
    coded = _CODED.match(message)
    if coded:
        kind, reason = _OF_CODE[Code(coded["code"])], coded["reason"]
    else:
        name = (status or "").removeprefix("StatusCode.")
        kind = _OF_STATUS.get(name, FaceGateError)
        reason = message or f"refused without a reason (status {status})"
        if "message larger than max" in reason:
            kind = InvalidRequest  # gRPC's size limit has overload's status, but no retry helps
        elif TRITON_MEMORY_FULL in message:
            kind, reason = Overloaded, MEMORY_FULL_REASON
        elif name == "UNIMPLEMENTED" and message in _NO_SUCH_SERVICE:
            kind, reason = Unreachable, "something else than Triton is there; its gRPC is on port 8001 unless moved"
        elif _CLOSED.search(reason):
            reason += "; it may want TLS (--tls-ca) or a certificate (--tls-certificate), or speak no gRPC"
    if kind is InvalidRequest and _ABOUT_AN_IMAGE.search(reason):
        kind = BadImage
    return kind(reason)


def from_triton(error: InferenceServerException) -> FaceGateError:
    """The error for what tritonclient raised."""
    return from_status(error.status(), error.message() or "")
