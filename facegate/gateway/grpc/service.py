"""FaceService: a request is read, the gateway asked, an answer written. Errors are raised, and told elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import numpy as np
from grpc.aio import ServicerContext

from facegate.gateway.checks import TOP_K
from facegate.gateway.deadline import seconds_for
from facegate.gateway.door import calls
from facegate.gateway.door.grpc_errors import status_of
from facegate.gateway.door.incidents import failure_for
from facegate.gateway.door.request_id import current
from facegate.gateway.errors import invalid
from facegate.gateway.faces import FaceGateway, Image
from facegate.gateway.grpc.writing import (
    analyze_response,
    detect_response,
    embed_response,
    enroll_response,
    identify_response,
    person_message,
    verify_response,
)
from facegate.gateway.paging import last_id_of, page_token
from facegate_client import contract
from facegate_client.results import Faces
from facegate_client.service import face_service_pb2 as pb
from facegate_client.service.face_service_pb2_grpc import FaceServiceServicer

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_order(
    items: AsyncIterator[Item], work: Callable[[Item], Coroutine[Any, Any, Result]], window: int
) -> AsyncGenerator[Result, None]:
    """`work` of each item, in the items' order.

    No more than `window` items have been taken whose results have not been, so that a slow taker slows the giver down
    and memory is bounded. What either raises is raised here. When this ends or is closed (aclose), nothing goes on.
    """
    free = asyncio.Semaphore(window)
    started: asyncio.Queue[asyncio.Task[Result] | None] = asyncio.Queue()
    under_way: set[asyncio.Task[Any]] = set()

    async def take() -> None:
        try:
            while True:
                await free.acquire()
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                task = asyncio.create_task(work(item))
                under_way.add(task)
                started.put_nowait(task)
        finally:
            started.put_nowait(None)

    taking = asyncio.create_task(take())
    under_way.add(taking)
    try:
        while (task := await started.get()) is not None:
            yield await task
            under_way.discard(task)
            free.release()
        await taking
    finally:
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


DEFAULT_PAGE = 100
WINDOW = 8
"""Requests of one AnalyzeStream that are under way at a time: enough to keep a server busy, and little memory."""


class FaceService(FaceServiceServicer):
    """Raises FaceGateErrors and GatewayErrors. A call lasts as long as its caller waits, at most `timeout_s`."""

    def __init__(self, faces: FaceGateway, timeout_s: float) -> None:
        self._faces = faces
        self._timeout_s = timeout_s

    async def Verify(self, request: pb.VerifyRequest, context: ServicerContext) -> pb.VerifyResponse:  # noqa: N802
        """See the .proto, as for all of them."""
        result = await self._faces.verify(
            read_image(request.image_1, "image_1"),
            read_image(request.image_2, "image_2"),
            threshold=request.threshold if request.HasField("threshold") else None,
            anti_spoofing=request.anti_spoofing,
            several_faces=_several_faces(request),
            timeout_s=seconds_for(context, self._timeout_s),
        )
        return verify_response(result)

    async def Analyze(self, request: pb.AnalyzeRequest, context: ServicerContext) -> pb.AnalyzeResponse:  # noqa: N802
        return analyze_response(await self._analyze(request, context))

    async def Detect(self, request: pb.DetectRequest, context: ServicerContext) -> pb.DetectResponse:  # noqa: N802
        result = await self._faces.analyze(
            read_image(request.image, "image"),
            anti_spoofing=False,
            embeddings=False,
            min_score=request.min_score if request.HasField("min_score") else None,
            max_faces=request.max_faces if request.HasField("max_faces") else None,
            timeout_s=seconds_for(context, self._timeout_s),
        )
        return detect_response(result)

    async def Embed(self, request: pb.EmbedRequest, context: ServicerContext) -> pb.EmbedResponse:  # noqa: N802
        result = await self._faces.embed(
            read_image(request.image, "image"),
            several_faces=_several_faces(request),
            timeout_s=seconds_for(context, self._timeout_s),
        )
        return embed_response(result)

    async def AnalyzeStream(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.AnalyzeStreamRequest], context: ServicerContext
    ) -> AsyncIterator[pb.AnalyzeStreamResponse]:
        async def answer(each: pb.AnalyzeStreamRequest) -> pb.AnalyzeStreamResponse:
            try:
                result = analyze_response(await self._analyze(each.request, context))
            except Exception as error:
                failure = failure_for(error)
                if (call := calls.current()) is not None:
                    call.message_failed(failure)
                return pb.AnalyzeStreamResponse(id=each.id, error=status_of(failure, current()))
            return pb.AnalyzeStreamResponse(id=each.id, response=result)

        async with aclosing(in_order(request_iterator, answer, WINDOW)) as responses:
            async for response in responses:
                yield response

    async def Enroll(self, request: pb.EnrollRequest, context: ServicerContext) -> pb.EnrollResponse:  # noqa: N802
        result = await self._faces.enroll(
            [read_image(image, f"images[{index}]") for index, image in enumerate(request.images)],
            name=request.name,
            labels=dict(request.labels),
            anti_spoofing=request.anti_spoofing,
            person_id=request.person_id,
            several_faces=_several_faces(request),
            timeout_s=seconds_for(context, self._timeout_s),
        )
        return enroll_response(result)

    async def Identify(self, request: pb.IdentifyRequest, context: ServicerContext) -> pb.IdentifyResponse:  # noqa: N802
        result = await self._faces.identify(
            read_image(request.image, "image"),
            anti_spoofing=request.anti_spoofing,
            top_k=request.top_k if request.HasField("top_k") else TOP_K,
            threshold=request.threshold if request.HasField("threshold") else None,
            margin=request.margin,
            several_faces=_several_faces(request),
            timeout_s=seconds_for(context, self._timeout_s),
        )
        return identify_response(result)

    async def Forget(self, request: pb.ForgetRequest, context: ServicerContext) -> pb.ForgetResponse:  # noqa: N802
        await self._faces.forget(request.person_id)
        return pb.ForgetResponse()

    async def ListPeople(  # noqa: N802
        self, request: pb.ListPeopleRequest, context: ServicerContext
    ) -> pb.ListPeopleResponse:
        size = request.page_size or DEFAULT_PAGE
        people, more = await self._faces.people(after=last_id_of(request.page_token), count=size)
        return pb.ListPeopleResponse(
            people=[person_message(person) for person in people],
            next_page_token=page_token(people[-1].id) if more else "",
        )

    async def _analyze(self, request: pb.AnalyzeRequest, context: ServicerContext) -> Faces:
        return await self._faces.analyze(
            read_image(request.image, "image"),
            anti_spoofing=request.anti_spoofing,
            embeddings=request.with_embeddings,
            min_score=request.min_score if request.HasField("min_score") else None,
            max_faces=request.max_faces if request.HasField("max_faces") else None,
            several_faces=_several_faces(request),
            timeout_s=seconds_for(context, self._timeout_s),
        )


def _several_faces(
    request: pb.VerifyRequest | pb.AnalyzeRequest | pb.EmbedRequest | pb.EnrollRequest | pb.IdentifyRequest,
) -> str | None:
    return request.several_faces if request.HasField("several_faces") else None


def read_image(image: pb.Image, field: str) -> Image:
    """A file's bytes, or pixels uint8 [height, width, 3]. Raises GatewayError INVALID_ARGUMENT."""
    content = image.WhichOneof("content")
    if content is None:
        raise invalid(field, "expected encoded or frame, got neither")
    if content == "encoded":
        return image.encoded
    return _read_frame(image.frame, f"{field}.frame")


def _read_frame(frame: pb.Frame, field: str) -> Image:
    height, width = frame.height, frame.width
    if height == 0 or width == 0:
        raise invalid(field, f"expected a height and a width above zero, got {height} and {width}")
    if error := contract.size_error(width, height):
        raise invalid(field, error)
    data = frame.bgr
    if len(data) != height * width * 3:
        raise invalid(
            field, f"expected {height * width * 3} bytes, height x width x 3, for {width}x{height}, got {len(data)}"
        )
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)
