"""What a gateway is told when it is started."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from facegate_client import contract
from facegate_client.transport import Tls
from server.addresses import is_loopback
from server.gateway.door.door import Limits
from server.gateway.door.keys import Keys

MAX_BODY_BYTES = 2 * -(-contract.MAX_IMAGE_BYTES // 3) * 4 + 64 * 1024
"""Two images of 10 MiB, which is the most that the server takes of each, in base64, and a little for the rest."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """PEM files: the certificate and its key that callers are shown, and whose certificates callers have to show."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Where Triton is, what the gateway listens on, and whom it serves how.

    `triton` is host:port of Triton's gRPC, or http://host:port of its HTTP. `timeout_s` is the longest that a caller
    waits for an answer. `gallery` is a file's path or a postgresql:// address. `image_hosts` are the hosts that
    pictures may be fetched from, none where empty. `cors_origins` are the web pages that may call from a browser.
    """

    triton: str
    triton_tls: Tls | None
    host: str
    grpc_port: int
    http_port: int
    timeout_s: float
    gallery: str = field(repr=False)  # an address may hold a password
    gallery_key: str | None = field(repr=False)
    keys: Keys | None = field(repr=False)
    tls: ServerTls | None
    limits: Limits
    max_body_bytes: int = MAX_BODY_BYTES
    image_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether this machine alone reaches it."""
        return is_loopback(self.host)

    @property
    def only_here(self) -> bool:
        """Whether it trusts whoever reaches it, for that is this machine."""
        return self.is_local and self.keys is None and self.tls is None

    @property
    def addresses(self) -> str:
        """Where it listens, in words."""
        scheme = "https" if self.tls else "http"
        tls = " (TLS)" if self.tls else ""
        return f"gRPC {self.grpc_address}{tls}, REST {scheme}://{address(self.host, self.http_port)}/"

    @property
    def grpc_address(self) -> str:
        """What gRPC listens on."""
        return address(self.host, self.grpc_port)


def address(host: str, port: int) -> str:
    """host:port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
