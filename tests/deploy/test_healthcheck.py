"""What Docker takes for healthy."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from facegate.cli.running import free_ports
from support.gateway import gateway
from support.serving import ROOT

SERVERS = {(): ("FACEGATE_HTTP_PORT", "/v2/health/ready"), ("gateway",): ("FACEGATE_GATEWAY_PROBE_PORT", "/readyz")}


def status_at(port: int, *server: str) -> int:
    environment = {**os.environ, SERVERS[server][0]: str(port), "http_proxy": "http://127.0.0.1:9"}
    return subprocess.run([sys.executable, "deploy/healthcheck.py", *server], cwd=ROOT, env=environment).returncode


@pytest.mark.parametrize("asked", SERVERS)
@pytest.mark.parametrize(("answer", "status"), [(200, 0), (400, 1), (503, 1)])
def test_a_server_is_healthy_when_it_says_that_it_is_ready(answer, status, asked):
    class Ready(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answer if self.path == SERVERS[asked][1] else 404)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert status_at(server.server_port, *asked) == status


def test_tritons_http_is_asked_at_its_own_address(monkeypatch):
    monkeypatch.setenv("FACEGATE_HTTP_HOST", "127.0.0.2")

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

    with HTTPServer(("127.0.0.2", 0), Ready) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert status_at(server.server_port) == 0


def test_no_server_is_not_healthy():
    assert status_at(free_ports(1)[0]) == 1


def test_a_real_server_is_healthy(server):
    assert status_at(int(server.http.rsplit(":", 1)[1])) == 0


def test_a_real_gateway_is_healthy(server, tmp_path):
    with gateway(tmp_path / "log", server.grpc, "--host", "0.0.0.0", "--without-keys") as running:
        assert status_at(int(running.probes.rsplit(":", 1)[1]), "gateway") == 0
