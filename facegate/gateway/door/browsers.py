"""What a web page of somebody else may not do by its visitor's browser: call a gateway that only the visitor can reach.

A browser says in `Origin` whose page asks. It needs no permission to send a form's content type, so CORS, which keeps
answers from such a page, does not keep its requests away. And a page may have its own name point to the gateway (DNS
rebinding): a gateway without authentication therefore accepts only a `Host` that no other site can have.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from facegate.errors import ServeError
from facegate.gateway.errors import Code, GatewayError

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_NEVER_SENT = re.compile(r"http:.*:80|https:.*:443")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?")


class Browsers:
    """Which pages may call."""

    def __init__(self, origins: tuple[str, ...], allowed_hosts: tuple[str, ...] | None) -> None:
        """`origins` are other pages' that may call. `allowed_hosts` are accepted as `Host` besides localhost and IP
        addresses; None accepts any. Raises ServeError."""
        self._origins = frozenset(map(checked_origin, origins))
        self._hosts = None if allowed_hosts is None else frozenset(map(checked_host, allowed_hosts))

    def check(self, host: str | None, origin: str | None) -> None:
        """Raises GatewayError PERMISSION_DENIED for a page of somebody else."""
        if self._hosts is not None and not _is_allowed(host or "", self._hosts):
            raise GatewayError(
                Code.PERMISSION_DENIED,
                "Host: expected localhost, an IP address or a name given by --allowed-host; this gateway has neither "
                "keys nor client certificates",
            )
        if origin is not None and not _is_of(origin, host or "") and origin not in self._origins:
            raise GatewayError(Code.PERMISSION_DENIED, "pages of this origin may not call; see --cors-origin")


def checked_origin(text: str) -> str:
    """The origin. Raises ServeError for what no browser ever sends as one, so that its page could never call."""
    if not _ORIGIN.fullmatch(text) or _NEVER_SENT.fullmatch(text):
        raise ServeError(
            f"--cors-origin {text}: not what a browser says of a page: https://name or https://name:port, "
            "in small letters, without a path, a / at the end or the scheme's own port"
        )
    return text


def checked_host(text: str) -> str:
    """The host name in lower case. Raises ServeError for what is no host name."""
    if not _HOST.fullmatch(text.lower()):
        raise ServeError(
            f"--allowed-host {text}: expected a host name without scheme, port or path, such as gate.example"
        )
    return text.lower()


def _is_of(origin: str, host: str) -> bool:
    """Whatever the scheme: a proxy may speak TLS in front of the gateway."""
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _is_allowed(host: str, names: frozenset[str]) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost" or name in names:
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
