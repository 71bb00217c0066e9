"""A request's body, read whole before anybody works on it: no longer than allowed, and not slower."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Receive

from facegate.gateway.errors import Code, GatewayError

BODY_SECONDS = 30.0
"""How long a body may take to come: 28 MiB in this time is 8 Mbit/s."""

SHORT_BYTES = 64 * 1024
"""What is left of a body is read for the next request's sake where it is no longer; else the connection is closed."""


LINGER_BYTES, LINGER_SECONDS = 8 * 2**20, 1.5
"""So much of a body that nobody wants is read after the answer, a large photo's, and for so long: less than a gateway
that stops waits for its answers to be read."""


class Gone(Exception):
    """The caller closed the connection before the answer was there."""


def declared_length(headers: Mapping[bytes, bytes]) -> int:
    """Content-Length, which the HTTP parser has checked; 0 where the body comes in chunks or there is none.

    Raises GatewayError INVALID_ARGUMENT for both at once: a proxy in front may see another request's beginning where
    this one's body ends here.
    """
    if b"content-length" in headers and b"transfer-encoding" in headers:
        raise GatewayError(Code.INVALID_ARGUMENT, "Content-Length and Transfer-Encoding exclude each other")
    return int(headers.get(b"content-length", b"0"))


def is_short(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body can be ignored without reading much."""
    return b"transfer-encoding" not in headers and declared_length(headers) <= SHORT_BYTES


def check_length(length: int, most: int) -> None:
    """Raises GatewayError PAYLOAD_TOO_LARGE."""
    if length > most:
        raise GatewayError(Code.PAYLOAD_TOO_LARGE, f"the body is larger than the limit of {most} bytes")


async def read_body(receive: Receive, most: int) -> bytes:
    """The whole body. Raises Gone, and GatewayErrors as soon as it is longer than `most` bytes or too late."""
    try:
        return await asyncio.wait_for(_read(receive, most), BODY_SECONDS)
    except asyncio.TimeoutError:
        late = f"the body did not arrive within {BODY_SECONDS:g} s"
        raise GatewayError(Code.DEADLINE_EXCEEDED, late) from None


async def discard(receive: Receive) -> None:
    """Read a body that nobody wants, up to its end or the limits of it.

    Closing a connection on which bytes lie unread resets it, and many a caller then never sees the answer.
    """
    try:
        await asyncio.wait_for(_discard(receive), LINGER_SECONDS)
    except asyncio.TimeoutError:
        return


async def _discard(receive: Receive) -> None:
    length = 0
    while length < LINGER_BYTES:
        message = await receive()
        if not message.get("more_body", False):  # its end, or the connection's
            return
        length += len(message["body"])


async def _read(receive: Receive, most: int) -> bytes:
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        check_length(length, most)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)
