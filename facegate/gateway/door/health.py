"""gRPC's health service: whether requests can be answered, which is the same for every service of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from grpc.aio import ServicerContext
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from facegate.gateway.errors import Code, GatewayError


class Health(HealthServicer):  # type: ignore[misc]
    """Says what it was told last; not serving until then.

    The library's own servicer writes to a watcher while it holds the lock that `tell` needs: one that did not read
    kept the gateway from stopping, and one that left silenced the others.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._services = frozenset(("", *services))
        self.serving = False
        self._watchers: set[asyncio.Event] = set()

    def tell(self, serving: bool) -> None:
        """What to say from now on. Waits for nobody."""
        self.serving = serving
        for changed in self._watchers:
            changed.set()

    async def Check(self, request: HealthCheckRequest, context: ServicerContext) -> HealthCheckResponse:  # noqa: N802
        """See the .proto of grpc.health.v1. Raises GatewayError NOT_FOUND for a service that is not one of ours."""
        if request.service not in self._services:
            raise GatewayError(Code.NOT_FOUND, "there is no such service here", "service")
        return HealthCheckResponse(status=self._status(request.service))

    async def Watch(  # noqa: N802
        self, request: HealthCheckRequest, context: ServicerContext
    ) -> AsyncIterator[HealthCheckResponse]:
        """What Check would say, again when it changes; for a service that is not one of ours, just that."""
        changed, told = asyncio.Event(), None
        self._watchers.add(changed)
        try:
            while True:
                changed.clear()
                status = self._status(request.service)
                if status != told:
                    told = status
                    yield HealthCheckResponse(status=status)
                await changed.wait()
        finally:
            self._watchers.discard(changed)

    def _status(self, service: str) -> int:
        if service not in self._services:
            return int(HealthCheckResponse.SERVICE_UNKNOWN)
        return int(HealthCheckResponse.SERVING if self.serving else HealthCheckResponse.NOT_SERVING)
