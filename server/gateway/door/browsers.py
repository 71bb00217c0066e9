"""What a web page of somebody else may not do by its visitor's browser: call a gateway that only the visitor can reach.

A browser says in `Origin` whose page asks. It needs no permission to send a form's content type, so CORS, which keeps
answers from such a page, does not keep its requests away. And a page may have its own name point to this machine: on
a gateway that trusts whoever reaches it here, `Host` has to be a name that no stranger can have.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from server.errors import ServeError
from server.gateway.errors import Code, GatewayError

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_NEVER_SENT = re.compile(r"http:.*:80|https:.*:443")


class Browsers:
    """Which pages may call."""

    def __init__(self, origins: tuple[str, ...], *, only_here: bool) -> None:
        """`origins` are other pages' that may, `only_here`: a name has to be this machine's own. Raises ServeError."""
        self._origins, self._only_here = frozenset(map(checked_origin, origins)), only_here

    def check(self, host: str | None, origin: str | None) -> None:
        """Raises GatewayError PERMISSION_DENIED for a page of somebody else."""
        if self._only_here and not _is_own_name(host or ""):
            raise GatewayError(
                Code.PERMISSION_DENIED, "without keys this gateway answers to localhost and to IP addresses only"
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


def _is_of(origin: str, host: str) -> bool:
    """Whatever the scheme: a proxy may speak TLS in front of the gateway."""
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _is_own_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost":
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
