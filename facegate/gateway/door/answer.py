"""An HTTP answer on its way out: with the request's id, and with a failure where the application gives none."""

from __future__ import annotations

import json

from starlette.types import Message, Receive, Send

from facegate.gateway.door.body import discard
from facegate.gateway.errors import Code, Failure
from facegate.gateway.rest.errors import error_body, error_headers


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
