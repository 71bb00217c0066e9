"""Whether requests can be answered: looked at every second, so that asking costs nothing."""

from __future__ import annotations

import asyncio

import structlog

from facegate_client import contract
from facegate_client.errors import FaceGateError
from facegate_client.transport import AsyncTransport
from server.gateway.deadline import within
from server.gateway.door.health import Health
from server.gateway.door.metrics import Metrics
from server.gateway.errors import GatewayError
from server.gateway.gallery import Gallery

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 2.0


class Readiness:
    """What `look` last saw, told to gRPC's health service too. `stop` is for good."""

    def __init__(self, transport: AsyncTransport, gallery: Gallery, health: Health, metrics: Metrics) -> None:
        self._transport, self._gallery, self._health, self._metrics = transport, gallery, health, metrics
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
        self._tell()

    def stop(self) -> None:
        """Not ready any more, whatever is seen from now on."""
        self.stopping = True
        self._tell()

    def _tell(self) -> None:
        if self.ready is self._told:
            return
        self._told = self.ready
        self._metrics.ready.set(self.ready)
        structlog.get_logger().info(
            "readiness", ready=self.ready, triton=self.triton, gallery=self.gallery, stopping=self.stopping
        )
        self._health.tell(self.ready)

    async def _asks_triton(self) -> bool:
        try:
            asked = (self._transport.is_model_ready(model, ANSWER_SECONDS) for model in contract.MODELS)
            return all(await asyncio.gather(*asked))
        except FaceGateError:
            return False

    async def _asks_gallery(self) -> bool:
        try:
            return await within(ANSWER_SECONDS, self._gallery.is_ready())
        except GatewayError:
            return False
