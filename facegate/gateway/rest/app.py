"""REST as an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from facegate.gateway.deadline import within
from facegate.gateway.faces import FaceGateway
from facegate.gateway.page import HEADERS, STATIC
from facegate.gateway.rest import bodies
from facegate.gateway.rest.docs_page import add_docs
from facegate.gateway.rest.endpoints import Endpoints
from facegate.gateway.rest.errors import handle_errors
from facegate.gateway.rest.files import add_folder
from facegate.gateway.rest.openapi import OPERATIONS, document
from facegate.gateway.rest.requests import PeopleQuery
from facegate.gateway.urls import UrlFetcher

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
