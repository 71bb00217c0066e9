"""AsyncFaceClient: FaceClient for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from os import PathLike
from types import TracebackType
from typing import Any, Literal

from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.errors import FaceGateError
from facegate_client.images import ImageLike
from facegate_client.requests import Request, Result, analysis, verification
from facegate_client.results import Faces, Verification
from facegate_client.settings import Settings, TransportName
from facegate_client.transport.base import Regions, Tls


class AsyncFaceClient:
    """FaceClient's methods as coroutines, with the same arguments, results and errors.

    One client serves any number of tasks of one event loop, the one it is first used in. Image files are read in a
    thread. A call may be cancelled; the next one is none the worse. With `fallback="local"` the constructor opens the
    nets, which takes a good part of a second: make the client before the loop is busy.

    >>> async with AsyncFaceClient("localhost:8001") as client:  # doctest: +SKIP
    ...     verdicts = await asyncio.gather(*(client.verify("passport.jpg", frame) for frame in frames))
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        protocol: TransportName = "grpc",
        timeout_s: float = 10.0,
        tls: Tls | None = None,
        fallback: Literal["local"] | None = None,
        local_repository: str | PathLike[str] | None = None,
    ) -> None:
        settings = Settings(url, protocol, timeout_s, tls, fallback, local_repository)
        self.url = settings.address
        self._timeout_s = timeout_s
        self._transport = settings.connect_async()
        self._closed = False

    async def verify(
        self,
        a: ImageLike,
        b: ImageLike,
        *,
        threshold: float | None = None,
        anti_spoofing: bool = False,
        several_faces: str | None = None,
    ) -> Verification:
        """See FaceClient.verify."""
        return await self._ask(
            partial(verification, a, b, threshold=threshold, anti_spoofing=anti_spoofing, several_faces=several_faces)
        )

    async def analyze(
        self,
        image: ImageLike,
        *,
        anti_spoofing: bool = False,
        embeddings: bool = True,
        min_score: float | None = None,
        max_faces: int | None = None,
        faces: NDArray[Any] | None = None,
        several_faces: str | None = None,
    ) -> Faces:
        """See FaceClient.analyze."""
        return await self._ask(
            partial(
                analysis,
                image,
                anti_spoofing=anti_spoofing,
                embeddings=embeddings,
                min_score=min_score,
                max_faces=max_faces,
                faces=faces,
                several_faces=several_faces,
            )
        )

    async def is_ready(self) -> bool:
        """See FaceClient.is_ready."""
        self._check_open()
        try:
            asked = (self._transport.is_model_ready(model, self._timeout_s) for model in contract.MODELS)
            return all(await asyncio.gather(*asked))
        except FaceGateError:
            return False

    @property
    def regions(self) -> Regions | None:
        """Where the server is told of memory to share with this process; None where the protocol is not gRPC."""
        return self._transport.regions

    async def close(self) -> None:
        """Gives the connections back. Calls that are still under way in other tasks fail or are cancelled."""
        if not self._closed:
            self._closed = True
            await self._transport.close()

    async def __aenter__(self) -> AsyncFaceClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, make: Callable[[], Request[Result]]) -> Result:
        request = await asyncio.to_thread(make)
        self._check_open()
        return request.read(await self._transport.infer(request.call, self._timeout_s))

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this AsyncFaceClient is closed")
