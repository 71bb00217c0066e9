"""The parts that a gateway is put together from, as its settings want them."""

from __future__ import annotations

import socket

import grpc
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facegate.errors import ServeError
from facegate.gateway.door import probes, request_id
from facegate.gateway.door.browsers import Browsers
from facegate.gateway.door.calls import Calls
from facegate.gateway.door.door import Door
from facegate.gateway.door.http import API, DoorMiddleware
from facegate.gateway.rest.errors import handle_errors
from facegate.gateway.settings import Settings, address
from facegate.gateway.tls_files import ServerTls
from facegate.gateway.urls import UrlFetcher
from facegate_client import contract
from facegate_client.transport.async_http import AsyncHttpTransport
from facegate_client.transport.base import ServerTransport
from facegate_client.transport.grpc import AsyncGrpcTransport

PROBE_BODY_BYTES = 1024
"""Probes have no request body."""

FETCH_SECONDS = 5.0
"""For a picture that is fetched by its address; what is left of the caller's time is for looking at it."""


def behind_door(app: Starlette, door: Door, calls: Calls, probing: list[Route], settings: Settings) -> ASGIApp:
    """The application with the probes in it, the door around it, and CORS around that where pages are named."""
    paths = {path for route in app.routes if isinstance(path := getattr(route, "path", None), str)}
    app.router.routes.extend(probing)
    guarded = SecurityHeaders(
        DoorMiddleware(
            app,
            door,
            calls,
            _browsers(settings),
            routes={path for path in paths if path.startswith(API)},
            open_paths={path for path in paths if not path.startswith(API)} | probes.OPEN,
            max_body_bytes=settings.max_body_bytes,
        )
    )
    if not settings.cors_origins:
        return guarded
    return CORSMiddleware(
        guarded,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "X-Api-Key", request_id.HEADER],
        expose_headers=[request_id.HEADER, "Retry-After"],
    )


def probes_behind_door(door: Door, calls: Calls, probing: list[Route], settings: Settings) -> ASGIApp:
    """The probes alone, for a port without TLS, by the rules of the REST port: where there are keys, metrics need one.

    Metrics are left out where callers need a client certificate, which this port cannot ask for.
    """
    needs_certificate = settings.tls is not None and settings.tls.client_ca is not None
    app = Starlette(routes=[route for route in probing if route.path in probes.OPEN or not needs_certificate])
    handle_errors(app)
    return SecurityHeaders(
        DoorMiddleware(
            app,
            door,
            calls,
            _browsers(settings),
            routes=(),
            open_paths=probes.OPEN,
            max_body_bytes=PROBE_BODY_BYTES,
        )
    )


def _browsers(settings: Settings) -> Browsers:
    return Browsers(settings.cors_origins, None if settings.authenticates else settings.allowed_hosts)


def url_fetcher(settings: Settings) -> UrlFetcher | None:
    """None where no host is named. Raises ServeError."""
    if not settings.image_hosts:
        return None
    try:
        return UrlFetcher(settings.image_hosts, contract.MAX_IMAGE_BYTES, min(FETCH_SECONDS, settings.timeout_s / 2))
    except ValueError as error:
        raise ServeError(f"--image-host: {error}") from None


def triton_transport(settings: Settings) -> ServerTransport:
    """The way to Triton. Connects with the first call."""
    scheme, separator, address = settings.triton.partition("://")
    if separator and scheme == "http":
        return AsyncHttpTransport(address)
    return AsyncGrpcTransport(settings.triton, settings.triton_tls)


def listen(host: str, port: int, what: str, option: str) -> socket.socket:
    """A socket for `what`, whose port `option` sets. Raises ServeError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=1024)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio sets it where the protocol is named
        return listening
    except OSError as error:
        why = (error.strerror or "").partition(" (")[0]  # which goes on with the address
        raise ServeError(
            f"cannot listen on {address(host, port)} for {what}: {why}; "
            f"stop what uses it, or choose another with {option}"
        ) from None


def grpc_credentials(tls: ServerTls | None) -> grpc.ServerCredentials | None:
    """The certificate for gRPC, which then asks its callers for theirs where an authority is named."""
    if tls is None:
        return None
    client_ca = tls.client_ca.read_bytes() if tls.client_ca else None
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)


_HEADERS = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class SecurityHeaders:
    """ASGI: adds them to what `app` answers, where it has none of the name: a page says itself what it may load."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)
