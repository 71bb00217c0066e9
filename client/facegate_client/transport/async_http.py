"""The HTTP transport of an event loop, by aiohttp.

tritonclient has one, upon aiohttp too; its deadline is the whole client's and not a call's, and a call that is
cancelled, or whose reply is an error, keeps its connection.
"""

from __future__ import annotations

import asyncio
import io
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from facegate_client.transport.base import Answer, Call, too_late, unreachable
from facegate_client.transport.http_wire import (
    HEADER_LENGTH,
    HttpReply,
    HttpRequest,
    config_request,
    infer_request,
    read_answer,
    read_parameters,
    ready_request,
)


@dataclass(slots=True)
class _Attempt:
    reused: bool = False  # the connection had carried a request before


class AsyncHttpTransport:
    """A ServerTransport. Raises FaceGateErrors."""

    regions = None

    def __init__(self, url: str) -> None:
        self._url = url
        self._base = f"http://{url.rstrip('/')}"
        self._session: aiohttp.ClientSession | None = None

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        """See Transport."""
        return read_answer(self._url, await self._exchange(infer_request(call), timeout_s))

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        """See Transport."""
        return (await self._exchange(ready_request(model), timeout_s)).status == 200

    async def model_parameters(self, model: str, timeout_s: float) -> Mapping[str, str]:
        """See ServerTransport."""
        return read_parameters(self._url, await self._exchange(config_request(model), timeout_s))

    async def close(self) -> None:
        """See Transport."""
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, request: HttpRequest, timeout_s: float) -> HttpReply:
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            attempt = _Attempt()
            try:
                return await self._send(request, deadline, attempt)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not attempt.reused:
                    raise
            # The server closed the connection while it was idle; an inference is safe to repeat.
            return await self._send(request, deadline, attempt)
        except asyncio.TimeoutError as error:
            raise too_late(self._url, timeout_s) from error
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(self._url, _cause(error)) from error

    async def _send(self, request: HttpRequest, deadline: float, attempt: _Attempt) -> HttpReply:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:  # which aiohttp takes for no limit
            raise asyncio.TimeoutError
        if self._session is None:  # it belongs to the loop that it is made in
            self._session = _session()
        async with self._session.request(
            request.method,
            self._base + request.path,
            data=io.BytesIO(request.body) if request.body else None,
            headers={"Accept-Encoding": "identity", **request.headers},
            allow_redirects=False,
            # By default aiohttp rounds what is above 5 s up to a whole second.
            timeout=aiohttp.ClientTimeout(total=left, ceil_threshold=math.inf),
            trace_request_ctx=attempt,
        ) as response:
            return HttpReply(response.status, await response.read(), response.headers.get(HEADER_LENGTH))


def _cause(error: Exception) -> str:
    number = getattr(error, "errno", None)  # of the system; aiohttp's own words for it leave out what went wrong
    return os.strerror(number) if number and number > 0 else str(error) or type(error).__name__


def _session() -> aiohttp.ClientSession:
    async def note(session: aiohttp.ClientSession, context: Any, event: aiohttp.TraceConnectionReuseconnParams) -> None:
        context.trace_request_ctx.reused = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(note)
    return aiohttp.ClientSession(trace_configs=[trace])
