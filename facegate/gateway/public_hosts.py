"""Which addresses pictures may be fetched from: hosts on a list, at public addresses, and never anywhere else."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_USUAL = {"http": 80, "https": 443}
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL = tuple(
    ipaddress.ip_network(block)
    for block in (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "224.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)
"""Of IANA's registries of special-purpose addresses: those that Python's `is_global`, of any version, may let pass."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes. `path` has its query with it."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """The address, as it was understood."""
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """`name` itself, or with `below` every name under it; on `port`, or where None on the scheme's usual one."""

    name: str
    below: bool
    port: int | None

    def covers(self, target: Target) -> bool:
        """Whether `target` may be asked."""
        named = target.host.endswith(f".{self.name}") if self.below else target.host == self.name
        return named and target.port == (_USUAL[target.scheme] if self.port is None else self.port)


def allowed_host(entry: str) -> AllowedHost:
    """`photos.example.org`, `*.example.org`, either with `:8443`, or a public IPv4 address. Raises ValueError."""
    name, colon, port = entry.strip().lower().partition(":")
    below = name.startswith("*.")
    name = name.removeprefix("*.")
    if not _HOST.fullmatch(name) or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise ValueError(f"{entry!r}: expected a host such as photos.example.org, *.example.org or example.org:8443")
    if name.replace(".", "").isdecimal() and not is_public(name):
        raise ValueError(f"{entry!r}: expected a public address: pictures are fetched from no other")
    return AllowedHost(name, below, int(port) if colon else None)


def target_of(url: str) -> Target:
    """Raises ValueError for all but a plain http:// or https:// address of a host by its ASCII name."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("has characters that no address has; percent-encode them")
    parts = urlsplit(url)
    if parts.scheme not in _USUAL:
        raise ValueError("expected http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("has a name or a password in it")
    host = parts.hostname or ""
    if not _HOST.fullmatch(host):
        raise ValueError("has no host by its name")
    port = _USUAL[parts.scheme] if parts.port is None else parts.port
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def is_public(address: str) -> bool:
    """Whether `address` is one of the open internet's, and not a way to a private one by translation or a tunnel.

    Of IPv6 only 2000::/3 counts, less 6to4 and Teredo: those, and mapped or translated (NAT64) addresses, have an IPv4
    address inside them that may be private.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if not parsed.is_global or any(parsed in block for block in _SPECIAL):
        return False
    return parsed.version == 4 or (parsed in _GLOBAL_V6 and "%" not in address)
