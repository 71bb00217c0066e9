"""A fake server for each protocol, and a client of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from facegate_client import FaceClient

sys.path.append(str(Path(__file__).parent))  # for fake_triton, whatever pytest's import mode
from fake_triton import Arrays, Call, FakeTriton, analyze_answer, serve, verify_answer


def sound_answer(call: Call) -> Arrays:
    """What a sound server would say, depending on what is asked."""
    checked = call.parameters["anti_spoofing"][1]
    if call.model == "face_verify":
        return verify_answer(liveness=(True, 0.98, True, 0.75) if checked else None)
    return analyze_answer(2, embeddings=call.parameters["embeddings"][1], liveness=checked)


@pytest.fixture(params=["grpc", "http"])
def triton(request: pytest.FixtureRequest) -> Iterator[FakeTriton]:
    with serve(request.param, sound_answer) as fake:
        yield fake


@pytest.fixture
def client(triton: FakeTriton) -> Iterator[FaceClient]:
    with FaceClient(triton.url, protocol=triton.protocol, timeout_s=5) as client:
        yield client
