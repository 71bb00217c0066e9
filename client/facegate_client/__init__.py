"""The Python client of FaceGate: face verification with liveness, over gRPC or HTTP.

Names are imported when they are first used, so that `facegate_client.contract` needs the standard library only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from facegate_client.async_client import AsyncFaceClient
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
    from facegate_client.transport.base import Tls

_MODULES = {
    "async_client": ("AsyncFaceClient",),
    "client": ("FaceClient",),
    "contract": ("Code",),
    "errors": (
        "BadImage",
        "DeadlineExceeded",
        "FaceGateError",
        "InvalidRequest",
        "LivenessUnavailable",
        "NoFace",
        "NoSuchPerson",
        "NotAuthenticated",
        "NotLive",
        "Overloaded",
        "ServerFault",
        "Unreachable",
    ),
    "results": (
        "Face",
        "Faces",
        "Model",
        "Verification",
    ),
    "transport.base": ("Tls",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

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
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
