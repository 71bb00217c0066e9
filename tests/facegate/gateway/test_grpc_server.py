"""What is beside the services: reflection, error details, and the generated code."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import given
from hypothesis import strategies as st

from facegate.errors import ServeError
from facegate.gateway.door.grpc_errors import MOST_CHARACTERS, status_of
from facegate.gateway.errors import Code, Failure, Violation
from facegate.gateway.grpc.server import bind
from facegate.gateway.paging import last_id_of, page_token
from support.grpc_gateway import grpc_gateway
from support.serving import ROOT


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    with grpc_gateway("127.0.0.1:1") as running, grpc.insecure_channel(running.address) as opened:
        yield opened


def test_its_services_can_be_listed_and_described_by_reflection(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) == {
        "facegate.v1.FaceService",
        "backend.Backend",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    described = database.FindFileContainingSymbol("facegate.v1.FaceService")
    assert "AnalyzeStream" in {method.name for method in described.service[0].method}


def test_a_port_that_is_in_use_is_an_error_in_a_line():
    async def bind_again(address: str) -> None:
        with pytest.raises(ServeError, match=f"cannot listen on {address}"):
            bind(grpc.aio.server(options=[("grpc.so_reuseport", 0)]), address, None)

    with grpc_gateway("127.0.0.1:1") as running:
        asyncio.run(bind_again(running.address))


@pytest.mark.parametrize("code", list(Code))
def test_every_failure_says_its_stable_code_its_request_and_when_to_come_back(code):
    failure = Failure(code, "why", (Violation("image_1", "how"),), retry_after_s=1.5)
    status = status_of(failure, "a-request")
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, status.message, info.reason) == (code.grpc.value[0], "why", code.name)
    assert info.metadata["request_id"] == "a-request"
    assert len(status.details) == 3


@given(st.text(max_size=3000))
def test_no_message_is_too_long_for_a_header(text):
    status = status_of(Failure(Code.INVALID_ARGUMENT, text, (Violation(text, text),)), "id")
    assert len(status.message) <= MOST_CHARACTERS
    assert status.ByteSize() < 8000
    assert Status.FromString(status.SerializeToString()) == status


@given(st.text(max_size=50))
def test_a_page_token_brings_back_its_id(last_id):
    assert last_id_of(page_token(last_id)) == last_id


PROTOS = (
    (ROOT / "client", "facegate_client/service/face_service"),
    (ROOT, "facegate/gateway/localai/backend"),
)


@pytest.mark.parametrize(("root", "proto"), PROTOS)
def test_the_generated_code_is_of_the_proto_beside_it(tmp_path, root, proto):
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", root, "-I", sysconfig.get_path("purelib")]
    outs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run([*map(str, command), *outs, str(root / f"{proto}.proto")], check=True)
    for name in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py"):
        made, kept = Path(tmp_path, proto + name), Path(root, proto + name)
        assert made.read_text() == kept.read_text(), f"{kept} is not up to date: run make protos"
