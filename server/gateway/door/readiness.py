"""Whether requests can be answered: looked at every second, so that asking costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from facegate_client import contract
from facegate_client.errors import FaceGateError
from facegate_client.transport import AsyncTransport
from server.gateway.door.metrics import Metrics
from server.gateway.errors import GatewayError
from server.gateway.gallery import Gallery

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 2.0

_STATUS = health_pb2.HealthCheckResponse


class Readiness:
    """What `look` last saw, told to gRPC's health service too. `stop` is for good."""

    def __init__(
        self,
        transport: AsyncTransport,
        gallery: Gallery,
        health: health_aio.HealthServicer,
        services: Sequence[str],
        metrics: Metrics,
    ) -> None:
        self._transport, self._gallery, self._health, self._metrics = transport, gallery, health, metrics
        self._services = ("", *services)
        self.triton = self.gallery = self.stopping = False
        self._told: bool | None = None

    @property
    def ready(self) -> bool:
        """Whether a request can be answered."""
        return self.triton and self.gallery and not self.stopping

    async def watch(self) -> None:
        """Looks until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Ask Triton and the gallery once, and tell."""
        self.triton, self.gallery = await asyncio.gather(self._asks_triton(), self._asks_gallery())
        await self._tell()

    async def stop(self) -> None:
        """Not ready any more, whatever is seen from now on."""
        self.stopping = True
        await self._tell()

    async def _tell(self) -> None:
        if self.ready is self._told:
            return
        self._told = self.ready
        self._metrics.ready.set(self.ready)
        structlog.get_logger().info(
            "readiness", ready=self.ready, triton=self.triton, gallery=self.gallery, stopping=self.stopping
        )
        status = _STATUS.SERVING if self.ready else _STATUS.NOT_SERVING
        for service in self._services:
            await self._health.set(service, status)

    async def _asks_triton(self) -> bool:
        try:
            asked = (self._transport.is_model_ready(model, ANSWER_SECONDS) for model in contract.MODELS)
            return all(await asyncio.gather(*asked))
        except FaceGateError:
            return False

    async def _asks_gallery(self) -> bool:
        try:
            return await asyncio.wait_for(self._gallery.is_ready(), ANSWER_SECONDS)
        except (GatewayError, asyncio.TimeoutError):
            return False
