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

MOST_CHARACTERS = 400
"""Of a reason, which may repeat what something else than a Triton says."""


class Readiness:
    """What `look` last saw, told to gRPC's health service too. `stop` is for good."""

    def __init__(self, transport: AsyncTransport, gallery: Gallery, health: Health, metrics: Metrics) -> None:
        self._transport, self._gallery, self._health, self._metrics = transport, gallery, health, metrics
        self.triton = self.gallery = self.stopping = False
        self._why = self._reason = ""
        self._gallery_reason = ""
        self._told: tuple[bool, bool, str] | None = None

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
        (self._why, self._reason), self._gallery_reason = await asyncio.gather(
            self._why_not_triton(), self._why_not_gallery()
        )
        self.triton = not self._why
        self.gallery = not self._gallery_reason
        self._tell()

    def stop(self) -> None:
        """Not ready any more, whatever is seen from now on."""
        self.stopping = True
        self._tell()

    def _tell(self) -> None:
        if (self.ready, self.gallery, self._why) == self._told:
            return
        self._told = self.ready, self.gallery, self._why
        self._metrics.ready.set(self.ready)
        structlog.get_logger().info(
            "readiness",
            ready=self.ready,
            triton=self.triton,
            gallery=self.gallery,
            stopping=self.stopping,
            **({"reason": self._reason} if self._reason else {}),
            **({"gallery_reason": self._gallery_reason} if self._gallery_reason else {}),
        )
        self._health.tell(self.ready)

    async def _why_not_triton(self) -> tuple[str, str]:
        """Empty where it is ready; else why not: of which kind, and in words, which gRPC changes from look to look."""
        try:
            for model in contract.MODELS:  # in turn: of two reasons it is always the first one's that is told
                if not await self._transport.is_model_ready(model, ANSWER_SECONDS):
                    return model, f"{model} is not ready"
        except FaceGateError as error:
            return "no answer", str(error)[:MOST_CHARACTERS]
        return "", ""

    async def _why_not_gallery(self) -> str:
        """Empty where the gallery is ready; else why not."""
        try:
            return "" if await within(ANSWER_SECONDS, self._gallery.is_ready()) else "not ready"
        except GatewayError as error:
            return str(error)[:MOST_CHARACTERS]
