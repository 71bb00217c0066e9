"""`facegate serve`: what it says when it starts, when it cannot, and who may ask it for what."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import cv2
import grpc
import httpx
import numpy as np
import psutil
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException
from typer.testing import CliRunner

from facegate.cli.app import app, known_variables
from facegate.cli.environment import check_environment
from facegate.cli.running import free_ports
from facegate.errors import ServeError
from facegate.serve.embedded import find_embedded
from facegate_client import FaceClient, Tls, Unreachable
from support.missing import cannot_be_had
from support.raw_http2 import GOAWAY, PING, pinging, with_header
from support.serving import MODELS, ROOT, serving


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
        "import pathlib, tenacity, facegate.build.build as b, facegate.build.weights.download as d;"
        "import facegate.cli.app as c;"
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


ADMIN_KEY = "sesame"
SECRETS = {
    "FACEGATE_ADMIN_KEY": ADMIN_KEY,
    "FACEGATE_API_KEY": "secret-of-a-client",
    "FACEGATE_GATEWAY_API_KEYS": "desk:secret-of-the-desk",
    "FACEGATE_GATEWAY_GALLERY": "postgresql://gate:secret-of-the-database@127.0.0.1/people",
    "FACEGATE_GATEWAY_GALLERY_KEY": "secret-of-the-gallery",
    "PGPASSWORD": "secret-of-postgres",
    "NVIDIA_API_KEY": "secret-of-an-account",
    "DATABASE_URL": "secret-of-another-program",
}


def have_a_dead_proxy(environment):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        environment.setenv(name, "http://127.0.0.1:9")
    environment.delenv("NO_PROXY", raising=False)
    environment.delenv("no_proxy", raising=False)


@pytest.fixture(scope="module")
def elsewhere(repository, tmp_path_factory):
    """A server with a key, on another address of this machine, with a proxy that does not answer and many secrets."""
    log = tmp_path_factory.mktemp("elsewhere") / "log"
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            have_a_dead_proxy(environment)
            running = stack.enter_context(serving(log, "--host", "127.0.0.2", environment=SECRETS))
        yield replace(
            running,
            grpc=running.grpc.replace("127.0.0.1", "127.0.0.2"),
            metrics=running.metrics.replace("127.0.0.1", "127.0.0.2"),
        )


def test_the_key_opens_administration(elsewhere):
    with tritonclient.grpc.InferenceServerClient(elsewhere.grpc) as client:
        index = client.get_model_repository_index(headers={"triton-grpc-protocol-admin-key": ADMIN_KEY})
        assert len(index.models) == MODELS
    assert "sesame" not in elsewhere.log.read_text()


def test_no_secret_is_in_the_environment_of_processes_that_decode_images(elsewhere):
    (triton,) = psutil.Process(elsewhere.process.pid).children()
    stubs = triton.children(recursive=True)
    assert (triton.name(), len(stubs)) == ("tritonserver", MODELS)
    for process in (triton, *stubs):
        environment = Path(f"/proc/{process.pid}/environ").read_bytes().decode()
        assert not [name for name, value in SECRETS.items() if name in environment or value in environment]
        assert "127.0.0.1:9" not in environment, "the address of a proxy may hold a password"
        assert "PYTHONPATH=" in environment
    words = " ".join(word for process in (triton, *stubs) for word in process.cmdline())
    assert not [value for value in SECRETS.values() if value != ADMIN_KEY and value in words]


def test_without_an_admin_key_nothing_on_the_command_line_opens_administration(server):
    """Every user of the machine can read that command line."""
    (triton,) = psutil.Process(server.process.pid).children()
    (restriction,) = [word for word in triton.cmdline() if word.startswith("--http-restricted-api=")]
    name, _, value = restriction.split("=", 1)[1].partition(":")[2].partition("=")
    host, port = server.http.split(":")
    request = f"GET /v2/logging HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 403 ")
    path = "/inference.GRPCInferenceService/LogSettings"
    assert b"log_file" not in with_header(server.grpc, path, f"triton-grpc-protocol-{name}", value)
    assert b"restricted" in with_header(server.grpc, path, "x-nothing", value)


def test_an_admin_key_on_the_command_line_is_refused():
    ended = serve("--admin-key", "sesame")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "FACEGATE_ADMIN_KEY" in line and "--admin-key-file" in line and "sesame" not in line


@pytest.mark.parametrize(
    ("content", "variable", "named"),
    [("two words", "", "key:"), ("", "", "key:"), ("sesame", "another", "--admin-key-file and FACEGATE_ADMIN_KEY")],
)
def test_an_admin_key_that_cannot_be_used_is_refused(repository, tmp_path, content, variable, named):
    (tmp_path / "key").write_text(content)
    ended = serve("--admin-key-file", str(tmp_path / "key"), FACEGATE_ADMIN_KEY=variable)
    assert ended.returncode == 1
    assert named in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--host", "0.0.0.0"], "--tls-client-ca"),
        (["--host", "gate.example"], "--tls-client-ca"),
        (["--http-host", "0.0.0.0"], "--http-host 0.0.0.0"),
        (["--host", "0.0.0.0", "--http-host", "127.0.0.1"], "--host 0.0.0.0"),
    ],
)
def test_other_machines_are_not_served_without_authentication_by_accident(options, named):
    ended = serve(*options)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert named in line and "--without-client-authentication" in line


def test_opening_the_embedded_tritons_http_to_other_machines_prints_a_warning(repository):
    grpc, http = free_ports(2)
    with socket.create_server(("127.0.0.1", grpc)):  # so that it does not start
        ports = ("--grpc-port", str(grpc), "--http-port", str(http))
        opened = serve(*ports, "--http-host", "0.0.0.0", FACEGATE_WITHOUT_CLIENT_AUTHENTICATION="true")
        assert "WARNING: --http-host 0.0.0.0" in opened.stderr
        assert f"cannot listen on 127.0.0.1:{grpc}" in opened.stderr
        assert "WARNING" not in serve(*ports, "--http-host", "127.0.0.2").stderr


def test_the_embedded_tritons_http_is_on_loopback_and_metrics_follow_the_host(elsewhere):
    with socket.socket() as connection:  # 127.0.0.2 stands for an address that others can reach
        assert connection.connect_ex(("127.0.0.2", int(elsewhere.http.split(":")[1]))) == errno.ECONNREFUSED
    assert httpx.get(f"http://{elsewhere.http}/v2/health/ready").status_code == 200
    assert "nv_inference_request_success" in httpx.get(f"http://{elsewhere.metrics}/metrics").text


def test_an_http_request_of_many_small_chunks_does_not_end_the_embedded_triton(elsewhere, samples):
    """Triton 2.51 keeps 16 bytes for each chunk on a stack, which had 8 MiB."""
    chunks = 600_000
    host, port = elsewhere.http.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            b"POST /v2/models/face_analyze/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(b"1\r\nA\r\n" * chunks + b"0\r\n\r\n")
        assert connection.recv(9) == b"HTTP/1.1 "
    with FaceClient(elsewhere.grpc) as client:
        assert client.verify(samples["image_T1.jpg"], samples["image_T1.jpg"])
    assert elsewhere.log.read_text().count("facegate: ready:") == 1


@pytest.mark.parametrize(
    ("command", "variable", "meant"),
    [
        ("serve", "FACEGATE_HTTP_PROT", "FACEGATE_HTTP_PORT"),
        ("serve", "FACEGATE_TLS_CLIENTCA", "FACEGATE_TLS_CLIENT_CA"),
        ("serve", "FACEGATE_GATEWAY_API_KEY", "FACEGATE_GATEWAY_API_KEYS"),
        ("fetch", "FACEGATE_PAK", "FACEGATE_PACK"),
        ("gateway", "FACEGATE_WITHOUT_LIVENES", "FACEGATE_WITHOUT_LIVENESS"),
    ],
)
def test_a_misspelt_variable_stops_every_command(command, variable, meant):
    ended = CliRunner().invoke(app, [command], env={variable: "1"})
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert variable in line and f"{meant}?" in line


def test_a_misspelt_variable_stops_a_build():
    ended = CliRunner().invoke(app, ["build"], env={"FACEGATE_PRECISON": "fp16"})
    assert (ended.exit_code, "FACEGATE_PRECISION?" in ended.stderr) == (1, True)


@pytest.mark.parametrize("variable", ["FACEGATE_TLS_CLIENT_CA", "FACEGATE_TLS_CERTIFICATE"])
def test_an_empty_variable_does_not_remove_tls(variable):
    ended = CliRunner().invoke(app, ["serve"], env={variable: ""})
    assert (ended.exit_code, variable in ended.stderr) == (1, True)


@pytest.mark.parametrize("service", ["FACEGATE", "FACEGATE_TRITON", "FACEGATE_GATEWAY", "FACEGATE_CPU_EU"])
def test_what_kubernetes_sets_for_a_service_is_not_misspelt(service):
    address = "tcp://10.0.0.7:8001"
    variables = {"SERVICE_HOST": "10.0.0.7", "SERVICE_PORT": "8001", "SERVICE_PORT_GRPC": "8001", "PORT": address}
    variables |= {"PORT_8001_TCP": address, "PORT_8001_TCP_PROTO": "tcp", "PORT_8001_TCP_PORT": "8001"}
    variables |= {"PORT_8001_TCP_ADDR": "10.0.0.7"}
    check_environment({f"{service}_{name}": value for name, value in variables.items()}, known_variables())


def test_every_variable_of_the_documentation_and_of_compose_is_known():
    pages = [ROOT / "README.md", ROOT / "docker-compose.yml", *(ROOT / "docs").glob("*.md")]
    named = {name for page in pages for name in re.findall(r"\bFACEGATE_[A-Z_]*[A-Z]\b", page.read_text())}
    assert "FACEGATE_BIND" in named
    check_environment(dict.fromkeys(named, "1"), known_variables())


def test_a_client_may_send_keepalive_pings(server):
    """Without a call, and once a second or more slowly. GOAWAY would end the connection after the third."""
    seen = pinging(server.grpc, count=6, interval_s=1.2)
    assert PING in seen and GOAWAY not in seen


def test_the_memory_that_pictures_pass_through_is_private(server):
    own = list(Path("/dev/shm").glob(f"*facegate-*-{server.process.pid}-*"))
    assert len(own) == MODELS
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


@pytest.mark.system
def test_a_client_with_a_keepalive_of_10_s_stays_connected(server):
    """Triton's own limits end such a connection after 40 s."""
    states = []
    options = [
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    with grpc.insecure_channel(server.grpc, options) as channel:
        channel.subscribe(states.append, try_to_connect=True)
        grpc.channel_ready_future(channel).result(10)
        connected = len(states)
        time.sleep(70)
        assert states[connected:] == []
        assert states[-1] is grpc.ChannelConnectivity.READY
