"""What the gateway says about where it listens."""

from __future__ import annotations

import socket

import pytest

from facegate.errors import ServeError
from facegate.gateway import running
from facegate.gateway.assembly import listen
from facegate.gateway.door.door import Limits
from facegate.gateway.settings import Settings


def settings(tmp_path, host="127.0.0.1", grpc_port=50051, http_port=8080, probe_port=8081):
    return Settings(
        triton="127.0.0.1:1",
        triton_tls=None,
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        probe_port=probe_port,
        timeout_s=1.0,
        gallery=str(tmp_path / "people.db"),
        gallery_key=None,
        keys=None,
        tls=None,
        limits=Limits(1, 1, None),
    )


def test_an_ipv6_address_is_said_so_that_it_can_be_pasted(tmp_path):
    for host, shown in (("::1", "[::1]"), ("127.0.0.1", "127.0.0.1")):
        addresses = f"gRPC {shown}:50051, REST http://{shown}:8080/, probes http://{shown}:8081/"
        assert settings(tmp_path, host).addresses == addresses


@pytest.mark.parametrize("same", [{"grpc_port": 8080}, {"probe_port": 8080}, {"probe_port": 50051}])
def test_one_port_for_two_of_them_is_refused_and_nothing_begun(tmp_path, same):
    with pytest.raises(
        ServeError, match=r"--grpc-port \d+, --http-port \d+, --probe-port \d+: the three have to differ"
    ):
        running.run(settings(tmp_path, **same), say=lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_why_it_cannot_listen_is_said_once():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServeError) as refused:
        listen("127.0.0.1", taken.getsockname()[1], "probes", "--probe-port")
    assert str(refused.value).count("127.0.0.1") == 1
    assert "for probes: Address already in use; stop what uses it" in str(refused.value)
    assert str(refused.value).endswith("--probe-port")
