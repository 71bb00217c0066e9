"""The door for HTTP, around the whole application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facegate.gateway.door import request_id
from facegate.gateway.door.body import Gone, check_length, declared_length, discard, is_short, read_body
from facegate.gateway.door.browsers import Browsers
from facegate.gateway.door.calls import CANCELLED, OK, Call, Calls
from facegate.gateway.door.door import Caller, Door
from facegate.gateway.door.http_server import HAS_KEY
from facegate.gateway.door.incidents import failure_for
from facegate.gateway.door.keys import shown_key
from facegate.gateway.door.metrics import BODY
from facegate.gateway.door.probes import METRICS
from facegate.gateway.door.rest_errors import error_body, error_headers
from facegate.gateway.errors import Code, Failure
from facegate_ensemble.stage_timers import stage


class Answer:
    """`keep`: the connection may be used again. `unread`: the request's body is not read to its end. `status` is None
    until the answer is begun."""

    def __init__(self, send: Send, path: str, request_id: str, *, keep: bool) -> None:
        self._send, self._path, self._request_id, self.keep = send, path, request_id, keep
        self.unread = True
        self.status: int | None = None
        self.complete = False
        self._held_back = False

    async def send(self, message: Message) -> None:
        """ASGI's, for the application."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [(name, value) for name, value in message.get("headers", ()) if name != b"x-request-id"]
            headers.append((b"x-request-id", self._request_id.encode("ascii")))
            if not self.keep:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)
            if self.complete and self.unread and not self.keep:  # with its end the server would close the connection
                self._held_back = True
                message = {**message, "more_body": True}
        await self._send(message)

    async def end(self, receive: Receive) -> None:
        """Let the connection be closed; call it last, and always. The whole answer is on its way before."""
        if self._held_back:
            await discard(receive)
            await self._send({"type": "http.response.body", "body": b""})

    async def fail(self, failure: Failure) -> None:
        """Answer with the failure."""
        body = json.dumps(error_body(failure, self._request_id, self._path)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.encode(), value.encode()) for name, value in error_headers(failure).items()]
        if failure.code is Code.UNAUTHENTICATED:
            headers.append((b"www-authenticate", b"Bearer"))
        await self.send({"type": "http.response.start", "status": failure.code.http, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


Headers = Mapping[bytes, bytes]

API = "/v1/"
OTHER = "other"
"""What calls of paths that are none of ours are counted under."""

_CODES = {code.http: code.name for code in Code}


class DoorMiddleware:
    """An ASGI application: `app` behind the door.

    Calls of the API, whose paths are `routes`, are let in one by one, counted and logged. Of the rest, what is in
    `open_paths` is for everybody, and what is not needs a key; what is refused is counted and logged as well.
    """

    def __init__(
        self,
        app: ASGIApp,
        door: Door,
        calls: Calls,
        browsers: Browsers,
        *,
        routes: Collection[str],
        open_paths: Collection[str],
        max_body_bytes: int,
    ) -> None:
        self._app, self._door, self._calls, self._browsers = app, door, calls, browsers
        self._open_paths, self._max_body_bytes = frozenset(open_paths), max_body_bytes
        self._known = self._open_paths | {*routes, METRICS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI 3."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(reversed(scope["headers"]))  # of one that is there twice, the first
        own_id = request_id.begin(_text(headers, b"x-request-id"))
        path = scope["path"]
        answer = Answer(send, path, own_id, keep=is_short(headers) and not self._door.closing.is_set())
        if path.startswith(API):
            await self._counted(scope, receive, answer, headers)
        else:
            await self._page(scope, receive, answer, headers)
        await answer.end(receive)

    async def _counted(self, scope: Scope, receive: Receive, answer: Answer, headers: Headers) -> None:
        with self._begun(scope) as call:
            try:
                await self._call(scope, receive, answer, headers, call)
            except Gone:
                call.code = CANCELLED
            except Exception as error:
                if answer.status is not None:  # the application has logged it, and answered
                    return
                failure = failure_for(error)
                call.failed(failure)
                await answer.fail(failure)
            finally:
                if call.code == OK and answer.status is not None and answer.status >= 400:
                    call.code = _CODES.get(answer.status, Code.INTERNAL.name)

    async def _page(self, scope: Scope, receive: Receive, answer: Answer, headers: Headers) -> None:
        try:
            self._browsers.check(_text(headers, b"host"), _text(headers, b"origin"))
            check_length(declared_length(headers), self._max_body_bytes)
            if not self._is_open(scope["path"]):
                self._caller(scope, headers)
        except Exception as error:
            with self._begun(scope) as call:
                failure = failure_for(error)
                call.failed(failure)
                await answer.fail(failure)
            return
        await self._app(scope, receive, answer.send)

    async def _call(self, scope: Scope, receive: Receive, answer: Answer, headers: Headers, call: Call) -> None:
        self._browsers.check(_text(headers, b"host"), _text(headers, b"origin"))
        caller = self._caller(scope, headers)
        call.caller = caller.name
        check_length(declared_length(headers), self._max_body_bytes)
        with self._door.admitted(caller):
            answer.keep = False  # what is left of a body is not waited for
            with stage(BODY):
                body = await read_body(receive, self._max_body_bytes)
            answer.unread = False
            answer.keep = not self._door.closing.is_set()
            call.bytes_in = len(body)
            await self._unless_gone(scope, body, receive, answer)

    async def _unless_gone(self, scope: Message, body: bytes, receive: Receive, answer: Answer) -> None:
        """The application's answer. Raises Gone where nobody waits for it any more, and ends the work on it."""
        gone = asyncio.ensure_future(receive())
        given = False

        async def replayed() -> Message:
            nonlocal given
            if given:
                return await asyncio.shield(gone)
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        working = asyncio.ensure_future(self._app(scope, replayed, answer.send))
        try:
            await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done() and not answer.complete:
                raise Gone
            await working
        finally:
            gone.cancel()
            if not working.done():
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)

    def _begun(self, scope: Scope) -> AbstractContextManager[Call]:
        path, client = scope["path"], scope.get("client")
        return self._calls.begun("rest", path if path in self._known else OTHER, client[0] if client else "")

    def _caller(self, scope: Scope, headers: Headers) -> Caller:
        caller = self._door.caller(_key(headers))
        if self._door.has_keys:
            scope["state"][HAS_KEY] = True
        return caller

    def _is_open(self, path: str) -> bool:
        return path in self._open_paths


def _key(headers: Headers) -> str | None:
    return shown_key(_text(headers, b"authorization"), _text(headers, b"x-api-key"))


def _text(headers: Headers, name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
