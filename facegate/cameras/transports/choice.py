"""Which way the frames go: the one that was asked for, or the cheapest that there is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from facegate.cameras.transports.carrier import Carrier, CarrierError, CarrierKind, RawCarrier
from facegate.cameras.transports.jpeg import QUALITY, JpegCarrier
from facegate.cameras.transports.ring import SharedMemoryCarrier, try_out
from facegate_client.async_client import AsyncFaceClient
from facegate_client.errors import DeadlineExceeded, FaceGateError, Unreachable
from facegate_client.transport.base import Regions


@dataclass(frozen=True, slots=True)
class Choice:
    """`make` makes a carrier for a camera; `reason` says in one line which, and why."""

    make: Callable[[], Carrier]
    reason: str


async def choose(kind: CarrierKind, client: AsyncFaceClient, *, in_flight: int, admin_key: str | None = None) -> Choice:
    """The way that `kind` names; for `auto` shared memory where the server takes it, else raw to this machine's, else
    JPEG.

    `in_flight` is how many frames a camera has with the server at once. Raises CarrierError where shared memory was
    asked for and there is none, and Unreachable or DeadlineExceeded where it takes a server to find out and none
    answers.
    """
    if kind == CarrierKind.jpeg:
        return Choice(JpegCarrier, f"as JPEG of quality {QUALITY}, as asked for")
    if kind == CarrierKind.raw:
        return Choice(RawCarrier, "as raw pixels, as asked for")
    if kind == CarrierKind.shared_memory:
        return Choice(await _shared_memory(client, admin_key, in_flight), "by shared memory, as asked for")
    if not await asyncio.to_thread(_is_here, client.url):
        return Choice(JpegCarrier, f"as JPEG of quality {QUALITY}: {client.url} is another machine")
    try:
        shared = await _shared_memory(client, admin_key, in_flight, or_raw=True)
    except (CarrierError, Unreachable, DeadlineExceeded) as error:  # the latter with a fallback, which answers now
        return Choice(RawCarrier, f"as raw pixels: {client.url} is this machine, but no shared memory: {error}")
    return Choice(shared, "by shared memory: the server is on this machine")


async def _shared_memory(
    client: AsyncFaceClient, admin_key: str | None, slots: int, *, or_raw: bool = False
) -> Callable[[], Carrier]:
    regions = _regions(client)
    with _refused():
        await try_out(regions, admin_key)
    return partial(SharedMemoryCarrier, regions, admin_key, slots, or_raw=or_raw)


def _regions(client: AsyncFaceClient) -> Regions:
    if client.regions is None:
        raise CarrierError("shared memory takes gRPC: leave --protocol http out")
    return client.regions


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except (Unreachable, DeadlineExceeded):
        raise
    except FaceGateError as error:
        raise CarrierError(str(error)) from error


def _is_here(url: str) -> bool:
    """Whether host:port is an address of this machine: one that a socket can be bound to."""
    host = url.rsplit(":", 1)[0].strip("[]")
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    return any(_binds(family, address) for family, _, _, _, address in found)


def _binds(family: int, address: tuple[object, ...]) -> bool:
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        try:
            trial.bind(address)
        except OSError:
            return False
    return True
