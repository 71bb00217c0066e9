"""Addresses to bind: whether other machines can reach one, and how this machine itself does."""

from __future__ import annotations

import ipaddress

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it. A name other than localhost counts as reachable from elsewhere."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def of_this_machine(host: str) -> str:
    """What this machine connects to where a server has bound `host`."""
    return _ANY.get(host, host)
