"""A failure as REST tells it, and the handlers by which nothing else is ever answered."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facegate.gateway.door import calls, request_id
from facegate.gateway.door.incidents import failure_for
from facegate.gateway.door.rest_errors import error_body, error_headers
from facegate.gateway.errors import Code, Failure, GatewayError
from facegate_client.errors import FaceGateError

_NO_PATH = "there is nothing at this path; /docs says what there is"
_OF_STATUS = {code.http: code for code in Code}


def answer_to(error: Exception, path: str) -> JSONResponse:
    """What is answered where there is no answer; a fault of ours goes to the log."""
    failure = _of_http(error) if isinstance(error, HTTPException) else failure_for(error)
    call = calls.current()
    if call is not None:
        call.failed(failure)
    headers = error_headers(failure) | dict(getattr(error, "headers", None) or {})
    return JSONResponse(error_body(failure, request_id.current(), path), failure.code.http, headers)


def handle_errors(app: Starlette) -> None:
    """Every exception of `app` becomes an answer of ours."""

    async def handler(request: Request, error: Exception) -> JSONResponse:
        return answer_to(error, request.url.path)

    for kind in (FaceGateError, GatewayError, HTTPException):
        app.add_exception_handler(kind, handler)
    app.add_middleware(_Faults)


class _Faults:
    """ASGI: answers for what nobody foresaw. As a handler of Exception, Starlette would raise it once more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            await answer_to(error, scope["path"])(scope, receive, send)


def _of_http(error: HTTPException) -> Failure:
    """The framework's own: a path or a method that is not there, mostly."""
    code = _OF_STATUS.get(error.status_code, Code.INTERNAL if error.status_code >= 500 else Code.INVALID_ARGUMENT)
    return Failure(code, _NO_PATH if code is Code.NOT_FOUND else str(error.detail))
