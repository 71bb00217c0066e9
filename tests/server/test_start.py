"""`facegate serve`: what it says when it starts, when it cannot, and who may ask it for what."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from engines.build import ROOT
from facegate.running import free_ports
from facegate_client import FaceClient, Tls, Unreachable
from server.embedded import find_embedded
from server.errors import ServeError
from support.missing import cannot_be_had
from support.serving import serving


def serve(*options, **environment):
    command = [sys.executable, "-m", "facegate", "serve", *options]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=90
    )


def test_it_says_what_it_runs_on_and_why_and_where_it_listens(server):
    log = server.log.read_text()
    assert "facegate: backend onnxruntime on the CPU, mobileface-onnxruntime-fp32: " in log
    assert f"ready: gRPC {server.grpc}, HTTP {server.http}, metrics http://{server.metrics}/metrics" in log


@pytest.mark.parametrize("name", ["grpc", "http", "metrics"])
def test_a_port_that_is_taken_is_named_with_the_remedy(repository, name):
    ports = dict(zip(("grpc", "http", "metrics"), free_ports(3), strict=True))
    with socket.create_server(("127.0.0.1", ports[name])):
        ended = serve(*(word for each, port in ports.items() for word in (f"--{each}-port", str(port))))
    assert ended.returncode == 1
    line = ended.stderr.strip().splitlines()[-1]
    assert f"cannot listen on 127.0.0.1:{ports[name]} for {name}" in line
    assert f"--{name}-port" in line


def test_one_port_for_two_is_refused_in_a_line(repository):
    ended = serve("--grpc-port", "18001", "--http-port", "18001")
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1] == (
        "facegate: --grpc-port 18001, --http-port 18001, --metrics-port 8002: the three have to differ"
    )


def test_an_unknown_pack_is_refused_with_those_there_are():
    ended = serve("--pack", "nonsense")
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("facegate: no pack 'nonsense'; there are ")


def test_options_are_environment_variables_too():
    ended = serve(FACEGATE_PACK="nonsense")
    assert "no pack 'nonsense'" in ended.stderr


def test_without_weights_and_network_it_says_what_is_missing_and_how_to_mirror_it(tmp_path):
    (tmp_path / "mirror").mkdir()
    program = (
        "import engines.build as b, engines.download as d, pathlib, tenacity, facegate.cli as c;"
        f"b.FETCHED = pathlib.Path({str(tmp_path / 'fetched')!r}); d.BACKOFF = tenacity.wait_none(); c.app(['fetch'])"
    )
    environment = {**os.environ, "FACEGATE_MIRROR": str(tmp_path / "mirror"), "HTTPS_PROXY": "http://127.0.0.1:9"}
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90
    )
    assert ended.returncode == 1
    for said in (
        "MobileFaceNet.onnx (3,998,070 bytes) from https://github.com/",
        "image_T1.jpg",
        "FACEGATE_MIRROR=/that/",
    ):
        assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_platform_without_the_wheel_is_told_what_there_is(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ServeError, match="nvidia-pytriton, the Triton that pip installs, is not here"):
        find_embedded()


def test_administration_is_closed_without_the_key(server):
    calls = {
        "repository": lambda client: client.get_model_repository_index(),
        "unloading": lambda client: client.unload_model("face_verify"),
        "shared memory": lambda client: client.register_system_shared_memory("x", "/x", 16),
        "trace": lambda client: client.update_trace_settings(settings={"trace_file": "/tmp/x"}),
        "logging": lambda client: client.update_log_settings({"log_file": "/tmp/x"}),
    }
    for module, address in ((tritonclient.grpc, server.grpc), (tritonclient.http, server.http)):
        with module.InferenceServerClient(address) as client:
            for what, call in calls.items():
                with pytest.raises(InferenceServerException, match="restricted"):
                    call(client)
                assert client.is_server_ready(), what


def have_a_dead_proxy(environment):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        environment.setenv(name, "http://127.0.0.1:9")
    environment.delenv("NO_PROXY", raising=False)
    environment.delenv("no_proxy", raising=False)


@pytest.fixture(scope="module")
def elsewhere(repository, tmp_path_factory):
    """A server with a key, on another address of this machine, and with a proxy that does not answer."""
    log = tmp_path_factory.mktemp("elsewhere") / "log"
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            have_a_dead_proxy(environment)
            running = stack.enter_context(serving(log, "--admin-key", "sesame", "--host", "127.0.0.2"))
        yield replace(running, grpc=running.grpc.replace("127.0.0.1", "127.0.0.2"))


def test_the_key_opens_administration(elsewhere):
    with tritonclient.grpc.InferenceServerClient(elsewhere.grpc) as client:
        index = client.get_model_repository_index(headers={"triton-grpc-protocol-admin-key": "sesame"})
        assert len(index.models) == 6
    assert "sesame" not in elsewhere.log.read_text()


def test_the_memory_that_pictures_pass_through_is_private(server):
    own = list(Path("/dev/shm").glob(f"*facegate-*-{server.process.pid}-*"))
    assert len(own) == 6
    assert {path.stat().st_mode & 0o777 for path in own} == {0o600}


def test_another_address_of_this_machine_can_be_bound(elsewhere):
    with FaceClient(elsewhere.grpc) as client:
        assert client.is_ready()
    with FaceClient(elsewhere.grpc.replace("127.0.0.2", "127.0.0.1"), timeout_s=2) as client:
        assert not client.is_ready()


def test_an_address_of_ipv6_is_refused_in_a_line():
    assert serve("--host", "::1").stderr.strip().splitlines()[-1].startswith("facegate: --host ::1: Triton binds IPv4")


def test_a_proxy_for_the_outside_is_not_asked_for_this_machine(elsewhere, samples, monkeypatch):
    have_a_dead_proxy(monkeypatch)
    with FaceClient(elsewhere.grpc) as client:
        assert client.verify(samples["image_T1.jpg"], samples["image_T1.jpg"], anti_spoofing=True)


def test_metrics_are_there_for_prometheus(server):
    assert "nv_inference_request_success" in httpx.get(f"http://{server.metrics}/metrics").text


def test_neither_pictures_nor_numbers_of_faces_are_logged(server, samples):
    with FaceClient(server.grpc) as client:
        before = len(server.log.read_text())
        client.analyze(samples["image_T1.jpg"], anti_spoofing=True)
        client.analyze(np.zeros((9, 9, 3), np.uint8))
        assert len(server.log.read_text()) == before


def test_grpc_speaks_tls_with_client_certificates_and_http_stays_here(request, repository, samples, tmp_path):
    if shutil.which("openssl") is None:
        cannot_be_had(request.config, "TLS is not tested: there is no openssl to make certificates with")

    def openssl(words):
        subprocess.run(["openssl", *words.split()], cwd=tmp_path, check=True, capture_output=True)

    openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca")
    (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1")
    for who in ("server", "client"):
        openssl(f"req -newkey rsa:2048 -nodes -keyout {who}.key -out {who}.csr -subj /CN={who}")
        signing = f"x509 -req -in {who}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {who}.pem -days 2"
        openssl(f"{signing} -extfile names")
    files = {name: str(tmp_path / name) for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")}
    options = ["--tls-certificate", files["server.pem"], "--tls-key", files["server.key"]]
    with serving(tmp_path / "log", *options, "--tls-client-ca", files["ca.pem"]) as running:
        assert "(TLS)" in running.log.read_text()
        good = Tls(files["ca.pem"], files["client.pem"], files["client.key"])
        with FaceClient(running.grpc, tls=good) as client:
            image = cv2.imread(str(samples["image_T1.jpg"]))
            assert len(client.analyze(image, anti_spoofing=True)) == 1
        for wrong in (None, Tls(files["ca.pem"])):
            with FaceClient(running.grpc, tls=wrong, timeout_s=5) as client, pytest.raises(Unreachable):
                client.analyze(image)
