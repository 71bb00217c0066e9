"""A fake server for each protocol, and clients of both kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from facegate_client import AsyncFaceClient, FaceClient
from support.blocking import Blocking
from support.fake_triton import Arrays, Call, FakeTriton, analyze_answer, serve, verify_answer


def sound_answer(call: Call) -> Arrays:
    """What a sound server would say, depending on what is asked."""
    checked = call.parameters["anti_spoofing"][1]
    if call.model == "face_verify":
        return verify_answer(liveness=(True, 0.98, True, 0.75) if checked else None)
    described, given = call.parameters["embeddings"][1], "FACES_IN" in call.inputs
    return analyze_answer(2, embeddings=described, liveness=checked, errors=["", ""] if described and given else None)


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def triton(protocol: str) -> Iterator[FakeTriton]:
    with serve(protocol, sound_answer) as fake:
        yield fake


def async_client(*arguments: Any, **options: Any) -> Blocking:
    return Blocking(AsyncFaceClient(*arguments, **options))


@pytest.fixture(params=[FaceClient, async_client], ids=["threads", "asyncio"])
def new_client(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The constructor of a client."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def client(triton: FakeTriton, new_client: Callable[..., Any]) -> Iterator[Any]:
    with new_client(triton.url, protocol=triton.protocol, timeout_s=5) as client:
        yield client
