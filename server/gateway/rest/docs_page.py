"""`/docs`: Swagger UI from the bundle on this machine, so that no other server learns who reads it."""

from __future__ import annotations

from pathlib import Path

import swagger_ui_bundle
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from server.gateway.rest.files import add_file

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


def add_docs(app: FastAPI) -> None:
    """The page, its beginning, and the bundle's files."""

    async def page(request: Request) -> Response:
        return Response(_HTML, media_type="text/html", headers=_HEADERS)

    async def begin(request: Request) -> Response:
        return Response(_BEGIN, media_type="text/javascript", headers=_HEADERS)

    app.add_route("/docs", page, include_in_schema=False)
    app.add_route("/docs/begin.js", begin, include_in_schema=False)
    bundle = Path(swagger_ui_bundle.swagger_ui_path)
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"):
        add_file(app, f"/docs/{name}", bundle / name, _HEADERS)
