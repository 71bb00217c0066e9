"""Pictures of the web, for a gateway that was told from where it may fetch them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import httpcore

from facegate.gateway.errors import invalid
from facegate.gateway.public_hosts import Target, allowed_host, is_public, target_of
from facegate_client import contract

MOST_REDIRECTS = 3
_REDIRECTS = {301, 302, 303, 307, 308}

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host, as text; OSError where there are none."""


async def resolve(host: str, port: int) -> list[str]:
    """The system's answer."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class UrlFetcher:
    """Fetches from the hosts of `allowed` (see allowed_host), which must all be at public addresses.

    Whatever an address leads to, a redirect too, is checked first; the name is looked up once, and the address that
    was checked is the one connected to. `timeout_s` is for everything together. Raises ValueError for a wrong entry.
    """

    def __init__(
        self,
        allowed: Iterable[str],
        max_bytes: int = contract.MAX_IMAGE_BYTES,
        timeout_s: float = 5.0,
        *,
        resolve: Resolve = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allowed = tuple(allowed_host(entry) for entry in allowed)
        self._max_bytes, self._timeout_s = max_bytes, timeout_s
        self._network = _PublicOnly(resolve, network or httpcore.AnyIOBackend())
        self._tls = httpcore.default_ssl_context()

    async def fetch(self, url: str, field: str) -> bytes:
        """What is at `url`. Raises GatewayError INVALID_ARGUMENT about `field`."""
        try:
            return await asyncio.wait_for(self._follow(url), self._timeout_s)
        except asyncio.TimeoutError:
            raise invalid(field, f"its address did not give it within {self._timeout_s:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError):
            raise invalid(field, "its address cannot be reached") from None
        except ValueError as error:
            raise invalid(field, f"its address {error}") from None

    async def _follow(self, url: str) -> bytes:
        target = self._checked(url)
        for _ in range(MOST_REDIRECTS + 1):
            found = await self._get(target)
            if isinstance(found, bytes):
                return found
            url = urljoin(target.url, found.location)
            secure, target = target.scheme == "https", self._checked(url)
            if secure and target.scheme != "https":
                raise ValueError("leads from https:// to http://")
        raise ValueError(f"leads elsewhere more than {MOST_REDIRECTS} times")

    def _checked(self, url: str) -> Target:
        target = target_of(url)
        if not any(host.covers(target) for host in self._allowed):
            raise ValueError("is not of a host that pictures may be fetched from")
        return target

    async def _get(self, target: Target) -> bytes | _Elsewhere:
        """A connection of its own, which is closed afterwards: whose addresses were checked just now."""
        headers: dict[bytes | str, bytes | str] = {
            "accept": "image/*",
            "accept-encoding": "identity",
            "user-agent": "facegate",
        }
        async with (
            httpcore.AsyncConnectionPool(self._tls, network_backend=self._network) as pool,
            pool.stream("GET", target.url, headers=headers) as response,
        ):
            told = {name.lower(): value.decode("ascii", "replace") for name, value in response.headers}
            if response.status in _REDIRECTS and b"location" in told:
                return _Elsewhere(told[b"location"])
            if response.status != 200:
                raise ValueError(f"answered {response.status}")
            if told.get(b"content-encoding", "identity") != "identity":
                raise ValueError("answered a compressed body, which was not asked for")
            content = bytearray()
            async for chunk in response.aiter_stream():
                content += chunk
                if len(content) > self._max_bytes:
                    raise ValueError(f"gives more than {self._max_bytes} bytes")
            return bytes(content)


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    location: str


class _PublicOnly(httpcore.AsyncNetworkBackend):
    """Connects to the very addresses that it has looked up and found to be public."""

    def __init__(self, resolve: Resolve, network: httpcore.AsyncNetworkBackend) -> None:
        self._resolve, self._network = resolve, network

    async def connect_tcp(self, host: str, port: int, *options: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolve(host, port)
        if not addresses or not all(map(is_public, addresses)):
            raise ValueError("is of a host that is not at public addresses alone")
        return await self._network.connect_tcp(addresses[0], port, *options, **named)
