"""Whether requests can be answered: looked at every second, so that asking costs nothing."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import structlog

from facegate.gateway.deadline import within
from facegate.gateway.door.health import Health
from facegate.gateway.door.metrics import Metrics
from facegate.gateway.errors import GatewayError
from facegate.gateway.gallery import Gallery
from facegate_client import contract
from facegate_client.errors import FaceGateError, ServerFault
from facegate_client.transport.base import ServerTransport

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 2.0

MOST_CHARACTERS = 400
"""Of a reason, which may repeat what something else than a Triton says."""


NO_LIVENESS = "no liveness models ({}): serve a pack with them, or start the gateway with --without-liveness"


@dataclass(frozen=True, slots=True)
class _Triton:
    """What Triton serves. `why` is empty where that is everything, else a stable text; `reason` is in words, which
    gRPC changes from look to look."""

    ready: bool
    liveness: bool
    why: str = ""
    reason: str = ""


class Readiness:
    """What `look` last saw, told to gRPC's health service too. `stop` is for good.

    `liveness` is whether the liveness models are served; None where they are not needed (`needs_liveness` false).
    """

    def __init__(
        self,
        transport: ServerTransport,
        gallery: Gallery,
        health: Health,
        metrics: Metrics,
        *,
        needs_liveness: bool = True,
    ) -> None:
        self._transport, self._gallery, self._health, self._metrics = transport, gallery, health, metrics
        self._needs_liveness = needs_liveness
        self._triton = _Triton(ready=False, liveness=False)
        self.gallery = self.stopping = False
        self._gallery_reason = ""
        self._told: tuple[bool, bool, str] | None = None

    @property
    def triton(self) -> bool:
        """Whether Triton serves the ensemble models."""
        return self._triton.ready

    @property
    def liveness(self) -> bool | None:
        """Whether Triton serves the liveness models too; None where they are not needed."""
        return self._triton.liveness if self._needs_liveness else None

    @property
    def ready(self) -> bool:
        """Whether a request can be answered."""
        return self.triton and self.liveness is not False and self.gallery and not self.stopping

    def parts(self) -> dict[str, bool]:
        """What readiness consists of, by name; all but `stopping` have to be true."""
        liveness = {} if self.liveness is None else {"liveness": self.liveness}
        return {"triton": self.triton, **liveness, "gallery": self.gallery, "stopping": self.stopping}

    async def watch(self) -> None:
        """Looks until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Ask Triton and the gallery once, and tell."""
        self._triton, self._gallery_reason = await asyncio.gather(self._asks_triton(), self._why_not_gallery())
        self.gallery = not self._gallery_reason
        self._tell()

    def stop(self) -> None:
        """Not ready any more, whatever is seen from now on."""
        self.stopping = True
        self._tell()

    def _tell(self) -> None:
        seen = self.ready, self.gallery, self._triton.why
        if seen == self._told:
            return
        self._told = seen
        self._metrics.ready.set(self.ready)
        structlog.get_logger().info(
            "readiness",
            ready=self.ready,
            **self.parts(),
            **({"reason": self._triton.reason} if self._triton.reason else {}),
            **({"gallery_reason": self._gallery_reason} if self._gallery_reason else {}),
        )
        self._health.tell(self.ready)

    async def _asks_triton(self) -> _Triton:
        try:
            why = await self._missing(contract.MODELS)
            if why:
                return _Triton(False, False, why, why)
            if self._needs_liveness:
                models = await self._liveness_models()
                missing = await self._missing(models) if models else "the pack has none"
                why = NO_LIVENESS.format(missing) if missing else ""
        except FaceGateError as error:
            return _Triton(False, False, "no answer", str(error)[:MOST_CHARACTERS])
        return _Triton(True, not why, why, why)

    async def _missing(self, models: tuple[str, ...]) -> str:
        """The first model that is not ready, in words; empty where all are."""
        for model in models:  # one after the other: of two reasons it is always the first that is logged
            if not await self._transport.is_model_ready(model, ANSWER_SECONDS):
                return f"{model} is not ready"
        return ""

    async def _liveness_models(self) -> tuple[str, ...]:
        """The names in the pack that face_analyze is configured with. Raises FaceGateErrors."""
        parameters = await self._transport.model_parameters(contract.ANALYZE, ANSWER_SECONDS)
        try:
            liveness = json.loads(parameters["pack"])["liveness"]
            return tuple(str(net["name"]) for net in liveness["nets"]) if liveness else ()
        except (KeyError, TypeError, ValueError) as error:
            raise ServerFault(f"the configuration of {contract.ANALYZE} names no pack") from error

    async def _why_not_gallery(self) -> str:
        """Empty where the gallery is ready; else why not."""
        try:
            return "" if await within(ANSWER_SECONDS, self._gallery.is_ready()) else "not ready"
        except GatewayError as error:
            return str(error)[:MOST_CHARACTERS]
