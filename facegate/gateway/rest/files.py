"""Files that are there when the gateway starts, each at a path of its own: a request's path never reaches the disk."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

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
