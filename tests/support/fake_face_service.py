"""A FaceService in this process that keeps what it was sent and answers what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_status import rpc_status

from facegate_client.service import AsyncFaceServiceClient
from facegate_client.service import face_service_pb2 as pb
from facegate_client.service.face_service_pb2_grpc import FaceServiceServicer, add_FaceServiceServicer_to_server
from support.blocking import Blocking

MODEL = pb.Model(
    pack="mobileface",
    licence="MIT",
    commercial_use=True,
    digest="d",
    embedding_digest="e",
    precision="fp32",
    threshold=0.4,
)
BOX = pb.Box(x1=10, y1=20, x2=60, y2=80)


def face(*, embedding: bool = False, liveness: tuple[bool, float] | None = None) -> pb.Face:
    is_real, score = liveness or (None, None)
    return pb.Face(
        box=BOX,
        score=0.5,
        landmarks=[pb.Point(x=at, y=at) for at in range(5)],
        embedding=[0.6, 0.8] if embedding else (),
        is_real=is_real,
        antispoof_score=score,
    )


@dataclass
class FakeFaceService:
    """By an rpc's name, what it answers: a message, a google.rpc.Status, or a function of the request."""

    answers: dict[str, Any] = field(default_factory=dict)
    requests: list[Any] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    seconds_given: float | None = None
    url: str = ""

    def answer(self, method: str, request: Any, context: Any) -> Any:
        self.requests.append(request)
        self.metadata = dict(context.invocation_metadata())
        self.seconds_given = context.time_remaining()
        answer = self.answers[method]
        answer = answer(request) if callable(answer) else answer
        if hasattr(answer, "details"):
            context.abort_with_status(rpc_status.to_status(answer))
        return answer


@contextmanager
def serve() -> Iterator[FakeFaceService]:
    """On a free port of this machine."""
    fake = FakeFaceService()
    servicer = FaceServiceServicer()
    for method in pb.DESCRIPTOR.services_by_name["FaceService"].methods:
        setattr(servicer, method.name, _handler(fake, method.name))
    servicer.AnalyzeStream = lambda requests, context: fake.answers["AnalyzeStream"](requests, context)
    server = grpc.server(ThreadPoolExecutor(8))
    add_FaceServiceServicer_to_server(servicer, server)
    fake.url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield fake
    finally:
        server.stop(0).wait()


def _handler(fake: FakeFaceService, method: str) -> Callable[[Any, Any], Any]:
    return lambda request, context: fake.answer(method, request, context)


class BlockingService(Blocking):
    """An AsyncFaceServiceClient with plain calls and plain iterators; images of a stream are given as a plain one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(AsyncFaceServiceClient(*arguments, **options))

    def analyze_stream(self, images: Any, **options: Any) -> Iterator[Any]:
        async def one_by_one() -> Any:
            for image in images:
                yield image

        return self._iterate(self._made.analyze_stream(one_by_one(), **options))

    def people(self) -> Iterator[Any]:
        return self._iterate(self._made.people())

    def _iterate(self, made: Any) -> Iterator[Any]:
        def run(coroutine: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

        try:
            while True:
                try:
                    yield run(made.__anext__())
                except StopAsyncIteration:
                    return
        finally:
            run(made.aclose())
