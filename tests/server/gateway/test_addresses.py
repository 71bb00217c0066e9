"""What the gateway says about where it listens."""

from __future__ import annotations

import socket

import pytest

from server.errors import ServeError
from server.gateway import running
from server.gateway.assembly import listen
from server.gateway.door.door import Limits
from server.gateway.settings import Settings


def settings(tmp_path, host="127.0.0.1", grpc_port=50051, http_port=8080):
    return Settings(
        triton="127.0.0.1:1",
        triton_tls=None,
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        timeout_s=1.0,
        gallery=str(tmp_path / "people.db"),
        gallery_key=None,
        keys=None,
        tls=None,
        limits=Limits(1, 1, None),
    )


def test_an_ipv6_address_is_said_so_that_it_can_be_pasted(tmp_path):
    assert settings(tmp_path, "::1").addresses == "gRPC [::1]:50051, REST http://[::1]:8080/"
    assert settings(tmp_path).addresses == "gRPC 127.0.0.1:50051, REST http://127.0.0.1:8080/"


def test_one_port_for_both_protocols_is_refused_and_nothing_begun(tmp_path):
    with pytest.raises(ServeError, match=r"^--grpc-port and --http-port are both 8080: give each its own$"):
        running.run(settings(tmp_path, grpc_port=8080), say=lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_why_it_cannot_listen_is_said_once():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServeError) as refused:
        listen("127.0.0.1", taken.getsockname()[1])
    assert str(refused.value).count("127.0.0.1") == 1
    assert "Address already in use; stop what uses it" in str(refused.value)
