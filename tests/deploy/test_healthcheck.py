"""What Docker takes for healthy."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from engines.build import ROOT
from facegate.running import free_ports


def status_at(port: int) -> int:
    environment = {**os.environ, "FACEGATE_HTTP_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    return subprocess.run([sys.executable, "deploy/healthcheck.py"], cwd=ROOT, env=environment).returncode


@pytest.mark.parametrize(("answer", "status"), [(200, 0), (400, 1), (503, 1)])
def test_a_server_is_healthy_when_it_says_that_it_is_ready(answer, status):
    class Ready(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answer if self.path == "/v2/health/ready" else 200)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert status_at(server.server_port) == status


def test_no_server_is_not_healthy():
    assert status_at(free_ports(1)[0]) == 1


def test_a_real_server_is_healthy(server):
    assert status_at(int(server.http.rsplit(":", 1)[1])) == 0
