"""Memory that a client shares with a server on the same machine: Triton's system-shared-memory extension over gRPC.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_shared_memory.md
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from facegate_client.contract import ADMIN_KEY
from facegate_client.errors import DeadlineExceeded, FaceGateError, Unreachable, from_triton
from facegate_client.transport.base import Call, Region, too_late, unreachable

_log = logging.getLogger("facegate_client")

KEY_HEADER = "triton-grpc-protocol-admin-key"
"""What `facegate serve` tells Triton to ask for before it opens a restricted API."""


class GrpcRegions:
    """Regions, told through the channel of the `client` that a transport makes. Contains the names it has told."""

    def __init__(self, url: str, client: Callable[[], triton_aio.InferenceServerClient]) -> None:
        self._url = url
        self._client = client
        self._told: dict[str, tuple[Region, str | None]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._told

    async def register(self, region: Region, admin_key: str | None, timeout_s: float) -> None:
        """See Regions."""
        self._told[region.name] = region, admin_key
        try:
            await self._tell(region, admin_key, timeout_s)
        except BaseException as error:
            if not isinstance(error, Unreachable | DeadlineExceeded):  # who does not answer is told by the first call
                self._told.pop(region.name, None)
            raise

    async def register_again(self, call: Call, timeout_s: float) -> None:
        """Tells the server anew of the regions that `call` names. One that it refuses is not used any more."""
        for name in {tensor.place.region for tensor in call.inputs if tensor.place is not None}:
            if name not in self._told:
                continue
            try:
                await self._tell(*self._told[name], timeout_s)
            except (Unreachable, DeadlineExceeded):
                raise
            except FaceGateError as error:
                if self._told.pop(name, None) is not None:
                    _log.warning("frames are sent as raw pixels from now on: %s", error)

    async def unregister(self, name: str, admin_key: str | None, timeout_s: float) -> None:
        """See Regions."""
        self._told.pop(name, None)
        with _refusals(self._url, admin_key, timeout_s):
            await self._client().unregister_system_shared_memory(
                name, headers=_headers(admin_key), client_timeout=timeout_s
            )

    async def listed(self, admin_key: str | None, timeout_s: float) -> list[Region]:
        """See Regions."""
        with _refusals(self._url, admin_key, timeout_s):
            status = await self._client().get_system_shared_memory_status(
                headers=_headers(admin_key), client_timeout=timeout_s
            )
        return [Region(each.name, each.key, each.byte_size) for each in status.regions.values()]

    async def _tell(self, region: Region, admin_key: str | None, timeout_s: float) -> None:
        with _refusals(self._url, admin_key, timeout_s):
            try:
                await self._client().register_system_shared_memory(
                    region.name, region.key, region.size, headers=_headers(admin_key), client_timeout=timeout_s
                )
            except InferenceServerException as error:
                if error.status() != "StatusCode.ALREADY_EXISTS":  # told by another call that found it forgotten
                    raise


def has_forgotten(error: InferenceServerException) -> bool:
    """Whether a call failed since the server does not know a region: it was started anew."""
    return error.status() == "StatusCode.NOT_FOUND" and "shared memory region" in (error.message() or "")


def _headers(admin_key: str | None) -> dict[str, str] | None:
    return None if admin_key is None else {KEY_HEADER: admin_key}


@contextmanager
def _refusals(url: str, admin_key: str | None, timeout_s: float) -> Iterator[None]:
    """What Triton says in a refusal, and what to do about it."""
    try:
        yield
    except InferenceServerException as error:
        message = error.message() or ""
        mapped = from_triton(error)
        if "restricted" in message:
            key = f"set {ADMIN_KEY} to its key" + ("" if admin_key is None else ": this is another")
            mapped = FaceGateError(f"{url} takes shared memory only with a key; serve with --client-shm, or {key}")
        elif "Unable to open" in message:
            mapped = FaceGateError(
                f"{url} cannot open this process's shared memory: it has another /dev/shm, or runs as another user"
            )
        elif isinstance(mapped, Unreachable):
            mapped = unreachable(url, mapped)
        elif isinstance(mapped, DeadlineExceeded):
            mapped = too_late(url, timeout_s)
        else:
            mapped = FaceGateError(f"{url} takes no shared memory: {message}")
        raise mapped from error
