"""`facegate gateway` and `facegate serve --gateway`: what they refuse, TLS, how they stop, and how they come back."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from typer.testing import CliRunner

from facegate.cli import app as cli
from facegate.cli.running import free_ports
from facegate_client import Tls, Unreachable, __version__
from facegate_client.service import FaceServiceClient
from facegate_client.service import face_service_pb2 as messages
from facegate_client.service.face_service_pb2_grpc import FaceServiceStub
from support.certificates import make_certificates
from support.gateway import gateway
from support.serving import ROOT, serving, wait_for_line

SERVING = health_pb2.HealthCheckResponse.SERVING
PORTS = {"grpc": "gRPC", "http": "REST", "probe": "probes"}


def started(*options, **environment):
    """The exit status and the last line of a gateway that ends by itself."""
    command = [sys.executable, "-m", "facegate", "gateway", *options]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=30
    )
    return ended.returncode, ended.stderr.strip().splitlines()[-1]


def port_options(ports):
    return [word for name, port in zip(PORTS, ports, strict=True) for word in (f"--{name}-port", str(port))]


@pytest.fixture
def keys(tmp_path):
    file = tmp_path / "keys"
    file.write_text("desk " + 20 * "d")
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_it_is_not_open_to_the_network_by_accident(tmp_path):
    status, line = started("--host", "0.0.0.0", "--gallery", str(tmp_path / "people.db"))
    assert status == 1
    assert line.startswith("facegate: --host 0.0.0.0 without keys: ")
    assert "--api-keys-file" in line and "--without-keys" in line
    assert not (tmp_path / "people.db").exists()


def test_a_key_that_is_too_short_is_refused_and_not_repeated():
    status, line = started(FACEGATE_GATEWAY_API_KEYS="desk:hunter2")
    assert (status, "hunter2" in line) == (1, False)
    assert "the key of desk has to be 16 to 512" in line


def test_a_file_without_keys_does_not_mean_without_keys(keys):
    keys.write_text("# nobody yet\n")
    status, line = started("--api-keys-file", str(keys))
    assert (status, line.endswith("no key in it; expected a name and a key in each line")) == (1, True)


@pytest.mark.parametrize("origin", ["*", "https://desk.example/"])
def test_an_origin_that_no_browser_sends_is_refused(origin, tmp_path):
    options = ("--cors-origin", origin, "--gallery", str(tmp_path / "people.db"))
    status, line = started(*options, *port_options(free_ports(3)))
    assert (status, line.startswith(f"facegate: --cors-origin {origin}: ")) == (1, True)


def test_half_a_certificate_is_refused(certificates):
    status, line = started("--tls-certificate", str(certificates.server))
    assert (status, line.startswith("facegate: TLS needs --tls-certificate and --tls-key together")) == (1, True)


@pytest.mark.parametrize("name", PORTS)
def test_a_port_that_is_taken_is_named(tmp_path, name):
    ports = dict(zip(PORTS, free_ports(3), strict=True))
    with socket.create_server(("127.0.0.1", ports[name])):
        status, line = started(*port_options(ports.values()), "--gallery", str(tmp_path / "people.db"))
    assert status == 1
    assert f"cannot listen on 127.0.0.1:{ports[name]} for {PORTS[name]}" in line
    assert f"--{name}-port" in line


def test_packages_that_are_not_there_are_named_with_the_remedy():
    program = "import sys; sys.modules['starlette'] = None; import facegate.cli.app as c; c.app(['gateway'])"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].endswith("pip install 'facegate[gateway]'")


@pytest.fixture(scope="module")
def guarded(server, certificates, tmp_path_factory):
    """A gateway that serves those with a certificate alone."""
    options = ("--tls-certificate", certificates.server, "--tls-key", certificates.server_key)
    options += ("--tls-client-ca", certificates.ca)
    with gateway(tmp_path_factory.mktemp("guarded") / "log", server.grpc, *map(str, options)) as running:
        yield running


def test_rest_asks_for_a_certificate(guarded, certificates):
    address = f"https://{guarded.http}/healthz"
    with_one = ssl.create_default_context(cafile=str(certificates.ca))
    without = ssl.create_default_context(cafile=str(certificates.ca))
    with_one.load_cert_chain(certificates.client, certificates.client_key)
    assert httpx.get(address, verify=with_one).status_code == 200
    with pytest.raises(httpx.TransportError):  # TLS 1.3 tells it after the handshake
        httpx.get(address, verify=without)
    without.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, verify=without)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{guarded.http}/healthz")


def test_the_probe_port_has_no_tls_and_no_metrics_where_a_certificate_is_needed(guarded, certificates):
    answers = {path: httpx.get(f"http://{guarded.probes}{path}") for path in ("/healthz", "/readyz", "/metrics")}
    assert [answer.status_code for answer in answers.values()] == [200, 200, 404]
    assert answers["/healthz"].json() == {"status": "alive", "version": __version__}


def test_grpc_asks_for_a_certificate(guarded, certificates):
    ca = certificates.ca.read_bytes()
    pair = (certificates.client_key.read_bytes(), certificates.client.read_bytes())
    for credentials, served in (
        (grpc.ssl_channel_credentials(ca, *pair), True),
        (grpc.ssl_channel_credentials(ca), False),
        (None, False),
    ):
        channel = grpc.secure_channel(guarded.grpc, credentials) if credentials else grpc.insecure_channel(guarded.grpc)
        with channel:
            health = health_pb2_grpc.HealthStub(channel)
            if served:
                assert health.Check(health_pb2.HealthCheckRequest(), timeout=10).status == SERVING
            else:
                with pytest.raises(grpc.RpcError) as refused:
                    health.Check(health_pb2.HealthCheckRequest(), timeout=10)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_who_is_hung_up_on_is_told_of_tls(guarded, certificates):
    for tls in (None, Tls(ca=certificates.ca)):
        told = r"Socket closed; it may want TLS \(--tls-ca\) or a certificate \(--tls-certificate\), or speak no gRPC$"
        with FaceServiceClient(guarded.grpc, tls=tls) as client, pytest.raises(Unreachable, match=told):
            client.forget("somebody")


def test_cors_lets_the_named_pages_call_and_no_others(server, keys, tmp_path):
    page = "https://desk.example"
    options = ("--cors-origin", page, "--api-keys-file", str(keys))
    with gateway(tmp_path / "log", server.grpc, *options) as running:
        for origin, allowed in ((page, page), ("https://evil.example", None)):
            asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            asks["Access-Control-Request-Headers"] = "authorization, content-type"
            answer = httpx.options(f"{running.base}/v1/face/verify", headers=asks)
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert "access-control-allow-credentials" not in answer.headers
        refused = httpx.post(f"{running.base}/v1/face/verify", headers={"Origin": page})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, page)


def test_what_is_in_flight_is_answered_before_it_stops(server, samples, tmp_path):
    """Ten callers without a pause on both protocols, then SIGTERM to the process and, as timeout(1) does, once more."""
    picture = samples["image_T1.jpg"].read_bytes()
    image = messages.Image(encoded=picture)
    request = messages.VerifyRequest(image_1=image, image_2=image, anti_spoofing=True)
    outcomes: list[str] = []

    def by_rest(address):
        with httpx.Client(timeout=30) as client:
            while True:
                files = {"img1": picture, "img2": picture, "anti_spoofing": (None, "true")}
                try:
                    answer = client.post(f"{address}/v1/face/verify", files=files)
                except httpx.TransportError:  # nobody listens any more, or the idle connection was just closed
                    outcomes.append("nobody answers")
                    return
                outcomes.append(f"{answer.status_code} {answer.json().get('verified', 'refused')}")
                if answer.status_code != 200:
                    assert answer.headers["connection"] == "close"
                    return

    def by_grpc(address):
        with grpc.insecure_channel(address) as channel:
            while True:
                try:
                    outcomes.append(f"200 {FaceServiceStub(channel).Verify(request).verified}")
                except grpc.RpcError as error:
                    outcomes.append(error.code().name)
                    return

    def stream(address):
        """One request, and then silence: the stream is ended, and nobody waits for its next message."""
        silence = threading.Event()

        def asked():
            yield messages.AnalyzeStreamRequest(id="1", request=messages.AnalyzeRequest(image=image))
            silence.wait(120)

        with grpc.insecure_channel(address) as channel:
            answers = FaceServiceStub(channel).AnalyzeStream(asked())
            try:
                for answer in answers:
                    outcomes.append(f"200 {len(answer.response.faces) == 1}")
            except grpc.RpcError as error:
                outcomes.append(error.code().name)
            silence.set()

    with gateway(tmp_path / "log", server.grpc) as running, ThreadPoolExecutor(11) as pool:
        done = [pool.submit(by_rest, running.base) for _ in range(5)]
        done += [pool.submit(by_grpc, running.grpc) for _ in range(5)]
        done.append(pool.submit(stream, running.grpc))
        while len(outcomes) < 20 and not any(each.done() for each in done):
            time.sleep(0.01)
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGTERM)
        for each in done:
            each.result()
        assert running.process.wait(60) == 0
    assert set(outcomes) <= {"200 True", "503 refused", "UNAVAILABLE", "nobody answers"}
    assert outcomes.count("200 True") >= 20
    log = running.log.read_text()
    assert "breaking them off" not in log
    assert '"ready": false' in log and log.rstrip().endswith("facegate: gateway stopped")


@pytest.fixture(scope="module")
def both(repository, certificates, tmp_path_factory):
    """Triton, whose gRPC speaks TLS, and the gateway beside it."""
    folder = tmp_path_factory.mktemp("both")
    grpc_port, http_port, probe_port = free_ports(3)
    environment = {
        "FACEGATE_GATEWAY_GRPC_PORT": str(grpc_port),
        "FACEGATE_GATEWAY_HTTP_PORT": str(http_port),
        "FACEGATE_GATEWAY_PROBE_PORT": str(probe_port),
        "FACEGATE_GATEWAY_GALLERY": str(folder / "people.db"),
    }
    probed_often = (
        "from facegate.serve import companion; companion.PROBE_SECONDS = 0.5; from facegate.cli.app import app; app()"
    )
    tls = ("--tls-certificate", str(certificates.server), "--tls-key", str(certificates.server_key))
    options = ("--gateway", "--max-threshold", "0.9", *tls)
    with serving(folder / "log", *options, environment=environment, program=("-c", probed_often)) as running:
        wait_for_line(running.process, running.log, "facegate: gateway ready:")
        yield running, f"http://127.0.0.1:{http_port}"
    running.process.wait(60)
    log = running.log.read_text()
    assert log.index("gateway stopped") < log.rindex("facegate: stopped")


def test_serving_without_liveness_starts_a_gateway_that_is_ready_without(
    server_without_liveness, monkeypatch, tmp_path
):
    """The gateway that `facegate serve` would start beside its Triton, beside one that runs already."""
    grpc_port, http_port, probe_port = free_ports(3)
    named = {"GRPC_PORT": grpc_port, "HTTP_PORT": http_port, "PROBE_PORT": probe_port}
    for name, value in {**named, "GALLERY": tmp_path / "people.db"}.items():
        monkeypatch.setenv(f"FACEGATE_GATEWAY_{name}", str(value))
    begun = []

    class Started:
        def __init__(self, settings, companion):
            begun.append(companion)

        def run(self): ...

    monkeypatch.setattr("facegate.serve.supervisor.Supervisor", Started)
    port = server_without_liveness.grpc.rpartition(":")[2]
    options = ["serve", "--without-liveness", "--gateway", "--grpc-port", port]
    assert CliRunner().invoke(cli.app, options).exit_code == 0
    (companion,) = begun
    companion.look()
    try:
        deadline, status = time.monotonic() + 15, None
        while status != 200:
            assert time.monotonic() < deadline, status
            time.sleep(0.1)
            with contextlib.suppress(httpx.TransportError):
                status = httpx.get(f"http://127.0.0.1:{probe_port}/readyz").status_code
    finally:
        companion.stop()


def the_gateway(running):
    (found,) = [each for each in psutil.Process(running.process.pid).children() if "gateway" in each.cmdline()]
    return found


def test_a_gateway_that_is_killed_comes_back_and_so_does_its_triton(both, samples):
    running, address = both
    assert "; Triton at http://127.0.0.1:" in running.log.read_text()
    picture = samples["image_T1.jpg"].read_bytes()
    for number in (1, 2):
        answer = httpx.post(f"{address}/v1/face/verify", files={"img1": picture, "img2": picture}, timeout=30)
        assert answer.json()["verified"]
        loose = {"img1": picture, "img2": picture}, {"threshold": "0.91"}
        assert httpx.post(f"{address}/v1/face/verify", files=loose[0], data=loose[1], timeout=30).status_code == 400
        if number == 1:
            the_gateway(running).kill()
            wait_for_line(running.process, running.log, "facegate: gateway ready:", count=2)
            assert "the gateway ended (exit status -9); starting it anew" in running.log.read_text()
    (triton,) = [each for each in psutil.Process(running.process.pid).children() if each.name() == "tritonserver"]
    triton.kill()
    refused = httpx.post(f"{address}/v1/face/verify", files={"img1": picture, "img2": picture}, timeout=30)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "UNAVAILABLE")
    wait_for_line(running.process, running.log, "facegate: ready:", count=2)
    deadline = time.monotonic() + 10
    while httpx.get(f"{address}/readyz").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    answer = httpx.post(f"{address}/v1/face/verify", files={"img1": picture, "img2": picture}, timeout=30)
    assert answer.json()["verified"]


def test_a_gateway_that_hangs_is_replaced(both):
    running, address = both
    hung = the_gateway(running)
    before = running.log.read_text().count("facegate: gateway ready:")
    time.sleep(2)  # four probes: one that has never answered is given minutes to start
    hung.suspend()
    wait_for_line(running.process, running.log, "facegate: gateway ready:", count=before + 1)
    assert not hung.is_running()
    assert httpx.get(f"{address}/healthz").status_code == 200
