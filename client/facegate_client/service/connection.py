"""What both clients of FaceService are told when they are made. Connects to nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from facegate_client.transport.base import Tls
from facegate_client.transport.grpc import channel_credentials, channel_options

DEFAULT_URL = "localhost:50051"


@dataclass(frozen=True, slots=True)
class Connection:
    """Which gateway, who calls, and how long a call may take. Raises ValueError."""

    url: str
    api_key: str | None = field(repr=False)
    timeout_s: float
    tls: Tls | None

    def __post_init__(self) -> None:
        if "://" in self.url or not self.url:
            raise ValueError(f"url: expected host:port, got {self.url!r}")
        if not 0 < self.timeout_s < math.inf:
            raise ValueError(f"timeout_s: expected a positive number of seconds, got {self.timeout_s}")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable() and self.api_key):
            raise ValueError("api_key: expected visible ASCII characters")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return () if self.api_key is None else (("x-api-key", self.api_key),)

    def open(self, module: Any) -> Any:
        """A channel of `module`, which is grpc or grpc.aio. Raises OSError where a PEM file is missing."""
        options = channel_options(self.url)
        if self.tls is None:
            return module.insecure_channel(self.url, options=options)
        return module.secure_channel(self.url, channel_credentials(self.tls), options=options)
