"""What both clients are told when they are made, and the transport that comes of it. Imports only what it needs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Literal

from facegate_client.transport.base import AsyncTransport, Tls, Transport

TransportName = Literal["grpc", "http"]

DEFAULT_URLS: dict[TransportName, str] = {"grpc": "localhost:8001", "http": "localhost:8000"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Which server, how it is reached, and who answers where none does. Raises ValueError."""

    url: str | None
    protocol: TransportName
    timeout_s: float
    tls: Tls | None
    fallback: Literal["local"] | None
    local_repository: str | PathLike[str] | None

    def __post_init__(self) -> None:
        if self.protocol not in DEFAULT_URLS:
            raise ValueError(f"protocol: expected 'grpc' or 'http', got {self.protocol!r}")
        if self.address.startswith(("http://", "https://")):
            raise ValueError(f"url: expected host:port, got {self.address}")
        if not 0 < self.timeout_s < math.inf:
            raise ValueError(f"timeout_s: expected a positive number of seconds, got {self.timeout_s}")
        if self.tls is not None and self.protocol == "http":
            raise ValueError("tls: Triton's HTTP cannot speak TLS; use gRPC")
        if self.fallback not in (None, "local"):
            raise ValueError(f"fallback: expected 'local' or None, got {self.fallback!r}")
        if self.local_repository is not None and self.fallback is None:
            raise ValueError("local_repository: is for fallback='local' only")

    @property
    def address(self) -> str:
        """host:port."""
        return self.url or DEFAULT_URLS[self.protocol]

    def connect(self) -> Transport:
        """The transport. Connects on the first call, not before; opens the local nets now."""
        remote: Transport
        if self.protocol == "grpc":
            from facegate_client.transport.grpc import GrpcTransport

            remote = GrpcTransport(self.address, self.tls)
        else:
            from facegate_client.transport.http import HttpTransport

            remote = HttpTransport(self.address)
        if self.fallback is None:
            return remote
        with _extra():
            from facegate_client.fallback import FallbackTransport, open_models

            return FallbackTransport(remote, open_models(self.local_repository), self.address)

    def connect_async(self) -> AsyncTransport:
        """The same for an event loop."""
        remote: AsyncTransport
        if self.protocol == "grpc":
            from facegate_client.transport.grpc import AsyncGrpcTransport

            remote = AsyncGrpcTransport(self.address, self.tls)
        else:
            from facegate_client.transport.async_http import AsyncHttpTransport

            remote = AsyncHttpTransport(self.address)
        if self.fallback is None:
            return remote
        with _extra():
            from facegate_client.fallback import AsyncFallbackTransport, open_models

            return AsyncFallbackTransport(remote, open_models(self.local_repository), self.address)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ImportError(f"fallback='local' needs more packages ({error}): pip install 'facegate[local]'") from error
