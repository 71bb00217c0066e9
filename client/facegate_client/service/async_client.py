"""AsyncFaceServiceClient: FaceServiceClient for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

import grpc

from facegate_client.errors import FaceGateError
from facegate_client.images import ImageLike
from facegate_client.results import Faces, Verification
from facegate_client.service import requests
from facegate_client.service.answers import read_person
from facegate_client.service.connection import DEFAULT_URL, Connection
from facegate_client.service.face_service_pb2_grpc import FaceServiceStub
from facegate_client.service.failures import of_call
from facegate_client.service.requests import Result, ServiceCall
from facegate_client.service.results import Embedding, Enrolment, Identification, Person
from facegate_client.service.stream import Pairing
from facegate_client.transport.base import Tls


class AsyncFaceServiceClient:
    """FaceServiceClient's methods as coroutines, with the same arguments, results and errors.

    One client serves any number of tasks of one event loop, the one it is first used in. Image files are read in a
    thread. A call may be cancelled: the gateway and Triton then stop working on it.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = 10.0,
        tls: Tls | None = None,
    ) -> None:
        self._connection = Connection(url, api_key, timeout_s, tls)
        self._channel: Any = None
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
        """See FaceServiceClient.verify."""
        return await self._ask(
            partial(
                requests.verify, a, b, threshold=threshold, anti_spoofing=anti_spoofing, several_faces=several_faces
            )
        )

    async def analyze(
        self,
        image: ImageLike,
        *,
        anti_spoofing: bool = False,
        embeddings: bool = True,
        min_score: float | None = None,
        max_faces: int | None = None,
        several_faces: str | None = None,
    ) -> Faces:
        """See FaceServiceClient.analyze."""
        return await self._ask(
            partial(
                requests.analyze,
                image,
                anti_spoofing=anti_spoofing,
                embeddings=embeddings,
                min_score=min_score,
                max_faces=max_faces,
                several_faces=several_faces,
            )
        )

    async def analyze_stream(
        self,
        images: AsyncIterable[ImageLike],
        *,
        anti_spoofing: bool = False,
        embeddings: bool = True,
        min_score: float | None = None,
        max_faces: int | None = None,
        several_faces: str | None = None,
    ) -> AsyncIterator[Faces | FaceGateError]:
        """See FaceServiceClient.analyze_stream."""
        self._check_open()
        pairing = Pairing(
            partial(
                requests.analyze,
                anti_spoofing=anti_spoofing,
                embeddings=embeddings,
                min_score=min_score,
                max_faces=max_faces,
                several_faces=several_faces,
            )
        )
        failed = []

        async def messages() -> AsyncIterator[object]:
            try:
                async for image in images:
                    if (message := await asyncio.to_thread(pairing.request, image)) is not None:
                        yield message
            except Exception as error:  # the caller's own, which gRPC would only log
                failed.append(error)

        call = self._stub.AnalyzeStream(messages(), metadata=self._connection.metadata)
        try:
            async for answer in call:
                for outcome in pairing.outcomes(answer):
                    yield outcome
            for outcome in pairing.rest():
                yield outcome
        except grpc.RpcError as error:
            raise of_call(error, self._connection.url, None) from error
        finally:
            call.cancel()
        if failed:
            raise failed[0]

    async def detect(self, image: ImageLike, *, min_score: float | None = None, max_faces: int | None = None) -> Faces:
        """See FaceServiceClient.detect."""
        return await self._ask(partial(requests.detect, image, min_score=min_score, max_faces=max_faces))

    async def embed(self, image: ImageLike, *, several_faces: str | None = None) -> Embedding:
        """See FaceServiceClient.embed."""
        return await self._ask(partial(requests.embed, image, several_faces=several_faces))

    async def enroll(
        self,
        images: Sequence[ImageLike],
        *,
        name: str,
        labels: Mapping[str, str] | None = None,
        anti_spoofing: bool = False,
        several_faces: str | None = None,
    ) -> Enrolment:
        """See FaceServiceClient.enroll."""
        return await self._ask(
            partial(
                requests.enroll,
                images,
                name=name,
                labels=labels or {},
                anti_spoofing=anti_spoofing,
                person_id="",
                several_faces=several_faces,
            )
        )

    async def add_photos(
        self,
        person_id: str,
        images: Sequence[ImageLike],
        *,
        anti_spoofing: bool = False,
        several_faces: str | None = None,
    ) -> Enrolment:
        """See FaceServiceClient.add_photos."""
        return await self._ask(
            partial(
                requests.enroll,
                images,
                name="",
                labels={},
                anti_spoofing=anti_spoofing,
                person_id=person_id,
                several_faces=several_faces,
            )
        )

    async def identify(
        self,
        image: ImageLike,
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        margin: float | None = None,
        anti_spoofing: bool = False,
        several_faces: str | None = None,
    ) -> Identification:
        """See FaceServiceClient.identify."""
        return await self._ask(
            partial(
                requests.identify,
                image,
                top_k=top_k,
                threshold=threshold,
                margin=margin,
                anti_spoofing=anti_spoofing,
                several_faces=several_faces,
            )
        )

    async def forget(self, person_id: str) -> None:
        """See FaceServiceClient.forget."""
        await self._ask(partial(requests.forget, person_id))

    async def people(self) -> AsyncIterator[Person]:
        """See FaceServiceClient.people."""
        token = ""
        while True:
            page = await self._ask(partial(requests.people, token))
            for person in page.people:
                yield read_person(person)
            token = page.next_page_token
            if not token:
                return

    async def close(self) -> None:
        """Gives the connection back. Calls that are still under way in other tasks fail or are cancelled."""
        if not self._closed:
            self._closed = True
            if self._channel is not None:
                await self._channel.close()

    async def __aenter__(self) -> AsyncFaceServiceClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def _stub(self) -> Any:
        if self._channel is None:  # a channel belongs to the loop that it is made in
            self._channel = self._connection.open(grpc.aio)
            self._rpcs = FaceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        return self._rpcs

    async def _ask(self, make: Callable[[], ServiceCall[Result]]) -> Result:
        call = await asyncio.to_thread(make)
        self._check_open()
        connection = self._connection
        rpc = getattr(self._stub, call.method)
        try:
            answer = await rpc(call.message, timeout=connection.timeout_s, metadata=connection.metadata)
        except grpc.RpcError as error:
            raise of_call(error, connection.url, connection.timeout_s) from error
        return call.read(answer)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this AsyncFaceServiceClient is closed")
