"""The Python client of FaceGate: face verification with liveness, over gRPC or HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facegate_client.client import FaceClient
from facegate_client.contract import Code
from facegate_client.errors import (
    BadImage,
    DeadlineExceeded,
    FaceGateError,
    InvalidRequest,
    LivenessUnavailable,
    NoFace,
    NoSuchPerson,
    NotAuthenticated,
    NotLive,
    Overloaded,
    ServerFault,
    Unreachable,
)
from facegate_client.results import Face, Faces, Model, Verification
from facegate_client.transport import Tls

if TYPE_CHECKING:
    from facegate_client.async_client import AsyncFaceClient

__all__ = [
    "AsyncFaceClient",
    "BadImage",
    "Code",
    "DeadlineExceeded",
    "Face",
    "FaceClient",
    "FaceGateError",
    "Faces",
    "InvalidRequest",
    "LivenessUnavailable",
    "Model",
    "NoFace",
    "NoSuchPerson",
    "NotAuthenticated",
    "NotLive",
    "Overloaded",
    "ServerFault",
    "Tls",
    "Unreachable",
    "Verification",
]


def __getattr__(name: str) -> Any:
    if name == "AsyncFaceClient":  # brings asyncio, which the others do not need
        from facegate_client.async_client import AsyncFaceClient

        return AsyncFaceClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
