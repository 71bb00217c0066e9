"""The Python client of FaceGate: face verification with liveness, over gRPC or HTTP."""

from facegate_client.client import FaceClient
from facegate_client.contract import Code
from facegate_client.errors import (
    BadImage,
    DeadlineExceeded,
    FaceGateError,
    InvalidRequest,
    LivenessUnavailable,
    NoFace,
    Overloaded,
    ServerFault,
    Unreachable,
)
from facegate_client.results import Face, Verification
from facegate_client.transport import Tls

__all__ = [
    "BadImage",
    "Code",
    "DeadlineExceeded",
    "Face",
    "FaceClient",
    "FaceGateError",
    "InvalidRequest",
    "LivenessUnavailable",
    "NoFace",
    "Overloaded",
    "ServerFault",
    "Tls",
    "Unreachable",
    "Verification",
]
