"""What a gateway is told when it is started."""

from __future__ import annotations

from dataclasses import dataclass, field

from facegate.addresses import is_loopback
from facegate.gateway.door.door import Limits
from facegate.gateway.door.keys import Keys
from facegate.gateway.tls_files import ServerTls
from facegate_client import contract
from facegate_client.transport.base import Tls
from facegate_ensemble.policy import UNRESTRICTED, Policy

MAX_BODY_BYTES = 2 * -(-contract.MAX_IMAGE_BYTES // 3) * 4 + 64 * 1024
"""Two images of 10 MiB, which is the most that the server takes of each, in base64, and a little for the rest."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where Triton is, what the gateway listens on, and whom it serves how.

    `triton` is host:port of Triton's gRPC, or http://host:port of its HTTP. `timeout_s` is the longest that a caller
    waits for an answer. `gallery` is a file's path or a postgresql:// address; with `gallery_must_exist` no new one is
    made there. `image_hosts` are the hosts that
    pictures may be fetched from, none where empty. `cors_origins` are the web pages that may call from a browser.
    `policy` has the operator's rules for verifications, identifications and enrolments.
    `allowed_hosts` are names, besides localhost and IPs, that callers may use for a gateway without authentication.
    `without_liveness`: the gateway is ready where Triton serves no liveness models.
    """

    triton: str
    triton_tls: Tls | None
    host: str
    grpc_port: int
    http_port: int
    probe_port: int
    timeout_s: float
    gallery: str = field(repr=False)  # an address may hold a password
    gallery_key: str | None = field(repr=False)
    keys: Keys | None = field(repr=False)
    tls: ServerTls | None
    limits: Limits
    gallery_must_exist: bool = False
    max_body_bytes: int = MAX_BODY_BYTES
    image_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    policy: Policy = UNRESTRICTED
    allowed_hosts: tuple[str, ...] = ()
    without_liveness: bool = False

    @property
    def is_local(self) -> bool:
        """Whether this machine alone reaches it."""
        return is_loopback(self.host)

    @property
    def authenticates(self) -> bool:
        """Whether every caller has to show a key or a client certificate."""
        return self.keys is not None or (self.tls is not None and self.tls.client_ca is not None)

    @property
    def addresses(self) -> str:
        """Where it listens, in words."""
        scheme = "https" if self.tls else "http"
        tls = " (TLS)" if self.tls else ""
        rest, probes = address(self.host, self.http_port), address(self.host, self.probe_port)
        return f"gRPC {self.grpc_address}{tls}, REST {scheme}://{rest}/, probes http://{probes}/"

    @property
    def grpc_address(self) -> str:
        """What gRPC listens on."""
        return address(self.host, self.grpc_port)


def address(host: str, port: int) -> str:
    """host:port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
