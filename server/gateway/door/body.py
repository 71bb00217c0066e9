"""A request's body, read whole before anybody works on it: no longer than allowed, and not slower."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Receive

from server.gateway.errors import Code, GatewayError

BODY_SECONDS = 30.0
"""How long a body may take to come: 28 MiB in this time is 8 Mbit/s."""

SHORT_BYTES = 64 * 1024
"""What is left of a body is read for the next request's sake where it is no longer; else the connection is closed."""


class Gone(Exception):
    """The caller closed the connection before the answer was there."""


def declared_length(headers: Mapping[bytes, bytes]) -> int:
    """Content-Length, which the HTTP parser has checked; 0 where the body comes in chunks or there is none."""
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
