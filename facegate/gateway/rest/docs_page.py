"""`/docs`: Swagger UI from the bundle on this machine, so that no other server learns who reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import swagger_ui_bundle
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from facegate.gateway.rest.files import add_file
from facegate.gateway.rest.openapi import OPENAPI_PATH

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
