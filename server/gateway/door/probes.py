"""What machines ask that watch the gateway."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from server.gateway.door.metrics import Metrics
from server.gateway.door.readiness import Readiness

HEALTH, READY, METRICS = "/healthz", "/readyz", "/metrics"
OPEN = {HEALTH, READY}
"""Need no key; numbers do, where there are keys."""


def router(readiness: Readiness, metrics: Metrics) -> APIRouter:
    """`/healthz` (the process answers), `/readyz` (requests can be answered; 503 where not, and why), `/metrics`."""
    made = APIRouter(include_in_schema=False)

    @made.api_route(HEALTH, methods=["GET", "HEAD"])
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "alive"})

    @made.api_route(READY, methods=["GET", "HEAD"])
    async def readyz() -> JSONResponse:
        seen = {
            "ready": readiness.ready,
            "triton": readiness.triton,
            "gallery": readiness.gallery,
            "stopping": readiness.stopping,
        }
        return JSONResponse(seen, status_code=200 if readiness.ready else 503)

    @made.get(METRICS)
    async def prometheus() -> Response:
        return Response(metrics.text(), media_type=metrics.content_type)

    return made
