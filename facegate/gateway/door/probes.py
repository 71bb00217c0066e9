"""What machines ask that watch the gateway."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from facegate.gateway.door.metrics import Metrics
from facegate.gateway.door.readiness import Readiness
from facegate_client import __version__

HEALTH, READY, METRICS = "/healthz", "/readyz", "/metrics"
OPEN = {HEALTH, READY}
"""Need no key; numbers do, where there are keys."""


def routes(readiness: Readiness, metrics: Metrics) -> list[Route]:
    """`/healthz` (the process answers), `/readyz` (requests can be answered; 503 where not, and why), `/metrics`."""

    async def healthz(request: Request) -> JSONResponse:
        return JSONResponse({"status": "alive", "version": __version__})

    async def readyz(request: Request) -> JSONResponse:
        seen = {"ready": readiness.ready, **readiness.parts()}
        return JSONResponse(seen, status_code=200 if readiness.ready else 503)

    async def prometheus(request: Request) -> Response:
        return Response(metrics.text(), media_type=metrics.content_type)

    return [Route(HEALTH, healthz), Route(READY, readyz), Route(METRICS, prometheus)]
