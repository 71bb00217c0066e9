"""REST as an ASGI application."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import swagger_ui_bundle
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from facegate.gateway.deadline import within
from facegate.gateway.faces import FaceGateway
from facegate.gateway.page import HEADERS, STATIC
from facegate.gateway.rest import bodies
from facegate.gateway.rest.endpoints import Endpoints
from facegate.gateway.rest.errors import handle_errors
from facegate.gateway.rest.openapi import OPENAPI_PATH, OPERATIONS, document
from facegate.gateway.rest.requests import PeopleQuery
from facegate.gateway.urls import UrlFetcher

_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".webmanifest": "application/manifest+json"}
"""Told by the machine's own tables wrongly, or not at all."""


def add_file(app: Starlette, path: str, file: Path, headers: Mapping[str, str]) -> None:
    """Answer `path` with the file as it is now. Browsers ask whether theirs is still good."""
    content = file.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    media = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    headers = {**headers, "etag": etag, "cache-control": "no-cache"}

    async def answer(request: Request) -> Response:
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media, headers=headers)

    app.add_route(path, answer, methods=["GET", "HEAD"])


def add_folder(app: Starlette, folder: Path, headers: Mapping[str, str]) -> None:
    """Every file under `folder` at its name, and index.html at "/"."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            name = file.relative_to(folder).as_posix()
            add_file(app, "/" if name == "index.html" else f"/{name}", file, headers)


Asked = TypeVar("Asked", bound=BaseModel)


def create_app(faces: FaceGateway, *, timeout_s: float, urls: UrlFetcher | None = None) -> Starlette:
    """REST, its documentation and the page. No answer takes longer than `timeout_s` from the end of its request.

    Pictures are fetched by address where `urls` is given. Who may ask, and how much, is the front door's matter.
    """
    app = Starlette()
    app.router.redirect_slashes = False
    endpoints = Endpoints(faces, timeout_s, urls)
    for operation in OPERATIONS:
        do = getattr(endpoints, operation.name)
        app.add_route(operation.path, _answering(do, operation.asked, timeout_s), methods=[operation.method])
    add_docs(app, document())
    add_folder(app, STATIC, HEADERS)
    handle_errors(app)
    return app


def _answering(
    do: Callable[[Asked], Awaitable[Any]], kind: type[Asked], timeout_s: float
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        result = await within(timeout_s, _do(request))
        return Response(status_code=204) if result is None else JSONResponse(result)

    async def _do(request: Request) -> Any:
        if kind is PeopleQuery:
            return await do(bodies.query(request, kind))
        return await do(await bodies.read(request, kind))

    return answer


_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>FaceGate: REST</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon-32x32.png">
</head>
<body>
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/begin.js"></script>
</body>
</html>
"""
_BEGIN = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null});\n'
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-cache",
}


def add_docs(app: Starlette, described: dict[str, Any]) -> None:
    """What REST is, as OpenAPI has it; the page that shows it, its beginning, and the bundle's files."""

    async def openapi(request: Request) -> Response:
        return JSONResponse(described)

    async def page(request: Request) -> Response:
        return Response(_HTML, media_type="text/html", headers=_HEADERS)

    async def begin(request: Request) -> Response:
        return Response(_BEGIN, media_type="text/javascript", headers=_HEADERS)

    app.add_route(OPENAPI_PATH, openapi)
    app.add_route("/docs", page)
    app.add_route("/docs/begin.js", begin)
    bundle = Path(swagger_ui_bundle.swagger_ui_path)
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"):
        add_file(app, f"/docs/{name}", bundle / name, _HEADERS)
