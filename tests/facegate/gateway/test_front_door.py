"""The front door of a real gateway before a real Triton: keys, limits, ids, logs and metrics on both protocols."""

from __future__ import annotations

import base64
import http.client
import json
import re
import resource
import select
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice

import grpc
import httpx
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facegate.gateway.door.http_server import MAX_CONNECTIONS
from facegate.gateway.localai import backend_pb2
from facegate.gateway.localai.backend_pb2_grpc import BackendStub
from facegate.gateway.settings import MAX_BODY_BYTES
from facegate_client import __version__
from facegate_client.service import face_service_pb2 as messages
from facegate_client.service.face_service_pb2_grpc import FaceServiceStub
from support.gateway import gateway
from support.raw_http2 import HEADERS, declared_only

DESK, GATE = "desk-" + 16 * "d", "gate-" + 16 * "g"
VERIFY = "/facegate.v1.FaceService/Verify"


@pytest.fixture(scope="module")
def front(server, tmp_path_factory):
    """A gateway with two keys, started with a limit of fewer open files than it keeps connections."""
    keys = {"FACEGATE_GATEWAY_API_KEYS": f"desk:{DESK},gate:{GATE}"}
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))
    with gateway(tmp_path_factory.mktemp("front") / "log", server.grpc, environment=keys) as running:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        yield running


@pytest.fixture(scope="module")
def silent():
    """A Triton that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def slow(silent, tmp_path_factory):
    """A gateway to the silent Triton: one request at a time, twenty a second."""
    options = ("--timeout", "1.5", "--concurrency", "1", "--rate", "20")
    with gateway(tmp_path_factory.mktemp("slow") / "log", silent, *options) as running:
        yield running


@pytest.fixture(scope="module")
def pair(samples):
    picture = samples["image_T1.jpg"].read_bytes()
    return {"img1": base64.b64encode(picture).decode(), "img2": base64.b64encode(picture).decode()}


@pytest.fixture
def stub(front):
    with grpc.insecure_channel(front.grpc, [("grpc.max_send_message_length", -1)]) as channel:
        yield FaceServiceStub(channel)


def refusal(ask):
    with pytest.raises(grpc.RpcError) as refused:
        ask()
    return refused.value


def calls(gateway, **fields):
    """The log's lines about calls that have these fields; a call is logged when its answer is on its way."""
    deadline = time.monotonic() + 10
    while True:
        lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{")]
        found = [line for line in lines if line["event"] == "call" and fields.items() <= line.items()]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.01)


@pytest.mark.parametrize("header", [{"Authorization": f"Bearer {DESK}"}, {"X-Api-Key": GATE}])
def test_a_right_key_is_let_in_by_either_header(front, stub, pair, samples, header):
    assert httpx.post(f"{front.base}/v1/face/verify", json=pair, headers=header).json()["verified"]
    image = messages.Image(encoded=samples["image_T1.jpg"].read_bytes())
    metadata = [(name.lower(), value) for name, value in header.items()]
    assert stub.Verify(messages.VerifyRequest(image_1=image, image_2=image), metadata=metadata).verified


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer " + "x" * 20}, {"X-Api-Key": DESK + "x"}])
def test_a_wrong_key_and_none_are_refused_on_every_wire(front, stub, pair, header):
    metadata = [(name.lower(), value) for name, value in header.items()]
    for path in ("/v1/face/verify", "/v1/face/forget", "/v1/nothing", "/metrics", "/nothing"):
        answer = httpx.post(f"{front.base}{path}", json=pair, headers=header)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert refusal(lambda: stub.Verify(messages.VerifyRequest(), metadata=metadata)).code().name == "UNAUTHENTICATED"
    assert refusal(lambda: list(stub.AnalyzeStream(iter([]), metadata=metadata))).code().name == "UNAUTHENTICATED"
    with grpc.insecure_channel(front.grpc) as channel:
        asked = BackendStub(channel).Health
        assert refusal(lambda: asked(backend_pb2.HealthMessage(), metadata=metadata)).code().name == "UNAUTHENTICATED"


def test_health_is_for_everybody_and_tells_of_triton_and_the_gallery(front):
    assert httpx.get(f"{front.base}/healthz").status_code == 200
    seen = httpx.get(f"{front.base}/readyz")
    assert (seen.status_code, seen.json()) == (
        200,
        {"ready": True, "triton": True, "liveness": True, "gallery": True, "stopping": False},
    )
    with grpc.insecure_channel(front.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "facegate.v1.FaceService", "backend.Backend"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_is_told_to_who_asks_for_the_head_alone(front, slow):
    for base, path, status in (
        (front.base, "/healthz", 200),
        (front.base, "/readyz", 200),
        (slow.base, "/readyz", 503),
    ):
        seen = httpx.head(f"{base}{path}")
        assert (seen.status_code, seen.content) == (status, b"")


def test_health_says_when_triton_does_not_answer(slow):
    seen = httpx.get(f"{slow.base}/readyz")
    assert (seen.status_code, seen.json()["triton"], seen.json()["gallery"]) == (503, False, True)
    with grpc.insecure_channel(slow.grpc) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="backend.Backend"))
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_the_callers_request_id_comes_back_and_is_in_the_log(front, stub, pair, samples):
    given = {"X-Api-Key": DESK, "X-Request-Id": "of-the-caller.1"}
    assert (
        httpx.post(f"{front.base}/v1/face/verify", json=pair, headers=given).headers["x-request-id"]
        == given["X-Request-Id"]
    )
    refused = httpx.post(f"{front.base}/v1/face/verify", headers={"X-Request-Id": "of-the-caller.2"})
    assert refused.json()["error"]["request_id"] == refused.headers["x-request-id"] == "of-the-caller.2"
    image = messages.Image(encoded=samples["image_T1.jpg"].read_bytes())
    metadata = [("x-api-key", GATE), ("x-request-id", "of-the-caller.3")]
    _, call = stub.Embed.with_call(messages.EmbedRequest(image=image), metadata=metadata)
    assert ("x-request-id", "of-the-caller.3") in list(call.trailing_metadata())
    outcomes = [("rest", "OK", "desk"), ("rest", "UNAUTHENTICATED", None), ("grpc", "OK", "gate")]
    for number, (wire, code, caller) in enumerate(outcomes, 1):
        (line,) = calls(front, request_id=f"of-the-caller.{number}")
        assert (line["wire"], line["code"], line.get("caller")) == (wire, code, caller)


def test_an_id_that_could_fool_a_log_is_replaced(front, pair):
    headers = {"X-Api-Key": DESK, "X-Request-Id": 'a","code":"OK'}
    own = httpx.post(f"{front.base}/v1/face/verify", json=pair, headers=headers).headers["x-request-id"]
    assert len(own) == 16


def test_nothing_of_a_person_or_a_key_is_in_the_log(front, stub, pair, samples):
    """After every kind of call, those that fail included."""
    headers = {"X-Api-Key": DESK}
    name = "Ada of the tests"
    embedded = httpx.post(f"{front.base}/v1/face/embed", json={"img": pair["img1"]}, headers=headers).json()
    person = httpx.post(
        f"{front.base}/v1/face/register", json={"img": pair["img1"], "name": name}, headers=headers
    ).json()
    httpx.post(f"{front.base}/v1/face/register", json={"img": pair["img1"], "nom": name}, headers=headers)
    httpx.post(f"{front.base}/v1/face/verify", content=pair["img1"], headers=headers)
    httpx.get(f"{front.base}/v1/face/people?page_token={name}", headers=headers)
    httpx.post(f"{front.base}/v1/{pair['img1'][:500]}", headers=headers)
    refusal(lambda: stub.Enroll(messages.EnrollRequest(name=name), metadata=[("x-api-key", "wrong" * 5)]))
    httpx.post(f"{front.base}/v1/face/forget", json={"id": person["id"]}, headers=headers)
    log = front.log.read_text()
    picture = samples["image_T1.jpg"].read_bytes()
    secrets = [DESK, GATE, "wrongwrong", name, "Ada", pair["img1"][:40], pair["img1"][4000:4040], repr(picture[:8])]
    secrets += [str(value)[:8] for value in embedded["embedding"][:8]]
    assert [secret for secret in secrets if secret in log] == []
    assert len(calls(front, method="other", code="NOT_FOUND")) == 1


def test_a_verdict_is_in_the_log_and_in_the_metrics(front, pair):
    headers = {"X-Api-Key": DESK, "X-Request-Id": "a-verdict"}
    before = httpx.get(f"{front.base}/metrics", headers=headers).text
    httpx.post(f"{front.base}/v1/face/verify", json={**pair, "anti_spoofing": True}, headers=headers)
    httpx.post(f"{front.base}/v1/face/verify", json={**pair, "img1": "AAAA"}, headers=headers)
    after = httpx.get(f"{front.base}/metrics", headers=headers).text
    assert f'facegate_build_info{{version="{__version__}"}} 1.0\n' in after
    asked = '{code="%s",method="/v1/face/verify",wire="rest"}'
    for series, more in (
        ("facegate_gateway_requests_total" + asked % "OK", 1),
        ("facegate_gateway_requests_total" + asked % "INVALID_ARGUMENT", 1),
        ('facegate_gateway_request_seconds_count{method="/v1/face/verify",wire="rest"}', 2),
        ('facegate_gateway_liveness_total{verdict="real"}', 2),
        ('facegate_gateway_liveness_total{verdict="fake"}', 0),
        ('facegate_gateway_verifications_total{outcome="verified"}', 1),
        ('facegate_gateway_verifications_total{outcome="vetoed"}', 0),
        ('facegate_gateway_stage_seconds_count{stage="body"}', 2),
    ):
        assert value(after, series) - value(before, series) == more, series
    assert value(after, "facegate_gateway_requests_in_flight") == 0
    line = calls(front, request_id="a-verdict", code="OK")[0]
    assert (line["verified"], line["real"], line["faces"]) == (1, 2, 2)
    assert "fake" not in line


def value(text, series):
    return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(series + " ")), 0.0)


def test_a_check_that_was_not_asked_for_is_counted_neither_real_nor_fake(front, pair):
    httpx.post(f"{front.base}/v1/face/verify", json=pair, headers={"X-Api-Key": DESK, "X-Request-Id": "unchecked"})
    (line,) = calls(front, request_id="unchecked")
    assert line["verified"] == 1
    assert not {"real", "fake", "vetoed"} & set(line)


def test_pages_of_other_origins_may_not_call_and_cors_is_off(front, pair):
    headers = {"X-Api-Key": DESK, "Origin": "http://evil.example"}
    answer = httpx.post(f"{front.base}/v1/face/verify", json=pair, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "PERMISSION_DENIED")
    preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    for each in (answer, httpx.options(f"{front.base}/v1/face/verify", headers=preflight)):
        assert not [name for name in each.headers if name.startswith("access-control")]
    own = {"X-Api-Key": DESK, "Origin": front.base}
    assert httpx.post(f"{front.base}/v1/face/verify", json=pair, headers=own).status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/face/people"])
def test_a_strangers_name_for_this_machine_reads_nothing_without_keys(slow, path):
    answer = httpx.get(f"{slow.base}{path}", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "PERMISSION_DENIED")


PEOPLE, FORGET, REGISTER = "/v1/face/people", "/v1/face/forget", "/v1/face/register"


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory):
    """As in a container: bound to every address, without keys. Its Triton is not there."""
    options = ("--host", "0.0.0.0", "--without-keys", "--allowed-host", "gate.example", "--allowed-host", "Proxy")
    with gateway(tmp_path_factory.mktemp("open") / "log", "127.0.0.1:1", *options) as running:
        yield running


def with_host(running, host, path, address=None):
    """Status of a request for `path` with this `Host`, with a port or without."""
    headers = {"Host": host}
    base = f"http://{address or running.http}"
    if path == FORGET:
        return httpx.post(f"{base}{path}", json={"id": "nobody"}, headers=headers).status_code
    if path == REGISTER:
        return httpx.post(f"{base}{path}", json={"img": "AAAA", "name": "Ada"}, headers=headers).status_code
    return httpx.get(f"{base}{path}", headers=headers).status_code


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "gate.example.evil.example", "localhost.evil.example"]
)
def test_dns_rebinding_reaches_no_gateway_that_authenticates_nobody(open_to_all, host):
    for path in (PEOPLE, FORGET, REGISTER, "/", "/readyz", "/metrics"):
        assert with_host(open_to_all, host, path) == 403, path
    for path in ("/healthz", "/readyz", "/metrics"):
        assert with_host(open_to_all, host, path, open_to_all.probes) == 403, path


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "10.244.0.7:8081", "GATE.example:80", "proxy"]
)
def test_own_names_addresses_and_allowed_hosts_are_served_without_keys(open_to_all, host):
    expected = {PEOPLE: 200, FORGET: 404, REGISTER: 503, "/": 200, "/healthz": 200, "/metrics": 200}
    assert {path: with_host(open_to_all, host, path) for path in expected} == expected
    assert with_host(open_to_all, host, "/healthz", open_to_all.probes) == 200


def test_with_keys_any_host_is_served(front):
    headers = {"Host": "any.example", "X-Api-Key": DESK}
    assert httpx.get(f"{front.base}{PEOPLE}", headers=headers).status_code == 200
    assert httpx.get(f"http://{front.probes}/healthz", headers={"Host": "any.example"}).status_code == 200


def test_probes_have_a_port_of_their_own_with_the_same_rules(front, open_to_all):
    for path in ("/healthz", "/readyz"):
        on_rest, on_probes = (httpx.get(f"http://{address}{path}") for address in (front.http, front.probes))
        assert (on_probes.status_code, on_probes.json()) == (200, on_rest.json())
    assert httpx.get(f"http://{front.probes}/metrics").status_code == 401
    assert "facegate_gateway_ready 1.0" in httpx.get(f"http://{front.probes}/metrics", headers={"X-Api-Key": GATE}).text
    assert httpx.get(f"http://{open_to_all.probes}/metrics").status_code == 200
    assert httpx.get(f"http://{open_to_all.probes}/readyz").status_code == 503  # its Triton is away


@pytest.mark.parametrize("path", [PEOPLE, "/", "/docs", "/openapi.json"])
def test_nothing_else_is_on_the_probe_port(front, path):
    answer = httpx.get(f"http://{front.probes}{path}", headers={"X-Api-Key": DESK})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


def test_connections_without_a_key_shut_nobody_out(front):
    """More than are kept, silent or with half a head, beside one that has shown a key."""
    host, port = front.http.split(":")
    with httpx.Client(base_url=front.base, headers={"X-Api-Key": DESK}) as known, ExitStack() as opened:
        used = known.get(PEOPLE).extensions["network_stream"].get_extra_info("client_addr")
        for number in range(MAX_CONNECTIONS + 50):
            silent = opened.enter_context(socket.create_connection((host, int(port)), timeout=10))
            if number % 2:
                silent.sendall(b"GET /healthz HTTP/1.1\r\nA: ")
        for _ in range(5):
            assert httpx.get(f"{front.base}/healthz", timeout=5).status_code == 200
            assert httpx.get(f"http://{front.probes}/healthz", timeout=5).status_code == 200
        answer = known.get(PEOPLE)
        assert answer.status_code == 200
        assert answer.extensions["network_stream"].get_extra_info("client_addr") == used  # the same connection


def refusals_in(front):
    """By the label `method`, how often a credential was refused."""
    text = httpx.get(f"{front.base}/metrics", headers={"X-Api-Key": DESK}).text
    found = re.findall(r'requests_total{code="UNAUTHENTICATED",method="(.*)",wire="(.*)"} (\S+)', text)
    return {(wire, method): float(count) for method, wire, count in found}


def test_every_refused_key_is_logged_with_its_address_and_counted(front):
    wrong = "wrong-" + 16 * "w"
    before = refusals_in(front)
    expected = []
    for base in (front.base, f"http://{front.probes}"):
        for path, method in (("/metrics", "/metrics"), ("/nothing", "other"), ("/v1/nothing", "other")):
            for headers in ({}, {"X-Api-Key": wrong}):
                given = f"refused-{len(expected)}"
                assert httpx.get(f"{base}{path}", headers={**headers, "X-Request-Id": given}).status_code == 401
                expected.append(("rest", method))
    with grpc.insecure_channel(front.grpc) as channel:
        for method, ask, message in (
            (("localai", "Health"), BackendStub(channel).Health, backend_pb2.HealthMessage()),
            (("grpc", "Verify"), FaceServiceStub(channel).Verify, messages.VerifyRequest()),
        ):
            metadata = [("x-api-key", wrong), ("x-request-id", f"refused-{len(expected)}")]
            assert refusal(lambda ask=ask, message=message, metadata=metadata: ask(message, metadata=metadata))
            expected.append(method)
    for number, (wire, method) in enumerate(expected):
        (line,) = calls(front, request_id=f"refused-{number}")
        assert (line["wire"], line["method"], line["code"]) == (wire, method, "UNAUTHENTICATED")
        assert line["address"] == "127.0.0.1"
    after = refusals_in(front)
    assert {each: after[each] - before.get(each, 0) for each in set(expected)} == Counter(expected)
    assert wrong not in front.log.read_text()


def test_the_address_of_a_caller_with_a_key_is_not_logged(front):
    httpx.get(f"{front.base}{PEOPLE}", headers={"X-Api-Key": DESK, "X-Request-Id": "with-a-key"})
    (line,) = calls(front, request_id="with-a-key")
    assert "address" not in line


def answer_to(front, request, more=b"", most=10**9):
    """The status line that raw bytes get, sent until the gateway answers; and how many bytes were sent."""
    host, port = front.http.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        sent, connection_is_open = 0, True
        connection.settimeout(0.002)
        while True:
            try:
                if status := connection.recv(1000):
                    return status.split(b"\r\n")[0].decode(), sent, status
                return "closed", sent, b""
            except TimeoutError:
                pass
            except ConnectionError:
                return "closed", sent, b""
            if more and connection_is_open and sent < most:
                try:
                    connection.settimeout(5)
                    connection.sendall(more)
                    sent += len(more)
                except (ConnectionError, TimeoutError):
                    connection_is_open = False
                connection.settimeout(0.002)


def head(key, *lines):
    return "\r\n".join(
        ("POST /v1/face/verify HTTP/1.1", "Host: 127.0.0.1", f"X-Api-Key: {key}", *lines, "", "")
    ).encode()


def test_a_declared_body_over_the_limit_is_refused_before_any_of_it_comes(front):
    for length in (MAX_BODY_BYTES + 1, 10**12):
        status, _, whole = answer_to(front, head(DESK, f"Content-Length: {length}"))
        assert status.startswith("HTTP/1.1 413 ")
        assert b"connection: close" in whole.lower()


def test_a_body_of_two_lengths_is_refused_and_the_connection_closed(front):
    """Behind a proxy that believes the other one, what follows would be a request of somebody else's."""
    status, _, whole = answer_to(front, head(DESK, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n")
    assert status.startswith("HTTP/1.1 400 ")
    assert b"connection: close" in whole.lower()


def test_a_body_in_chunks_is_refused_when_it_grows_over_the_limit(front):
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    status, sent, _ = answer_to(front, head(DESK, "Transfer-Encoding: chunked"), chunk, most=2 * MAX_BODY_BYTES)
    assert status.startswith("HTTP/1.1 413 ")
    assert sent < MAX_BODY_BYTES * 1.3  # and what the kernel holds


def test_a_wrong_key_is_refused_before_its_body_comes(front):
    status, sent, _ = answer_to(front, head("x" * 20, "Content-Length: 20000000"))
    assert status.startswith("HTTP/1.1 401 ")
    assert sent == 0


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/face/verify", {"X-Api-Key": "x" * 20}, 401),
        ("/metrics", {"X-Api-Key": "x" * 20}, 401),
        ("/v1/face/verify", {"X-Api-Key": DESK, "Origin": "http://evil.example"}, 403),
        ("/v1/face/verify", {"X-Api-Key": DESK, "Content-Length": str(10**9)}, 413),
        ("/healthz", {}, 405),
    ],
)
def test_a_refusal_reaches_a_caller_who_sends_all_before_listening(front, path, headers, status):
    """Two megabytes, which begin to come when the answer is out: many a client takes a reset for no answer."""
    connection = http.client.HTTPConnection(front.http, timeout=20)
    connection.putrequest("POST", path)
    for name, value in {"Content-Length": str(2 * 2**20), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    select.select([connection.sock], [], [], 20)
    time.sleep(0.1)  # for closing the connection, had the server a mind to
    for _ in range(32):
        connection.send(bytes(2**16))
    answer = connection.getresponse()
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert json.load(answer)["error"]["request_id"] == answer.headers["x-request-id"]
    connection.close()


def test_headers_without_an_end_are_not_collected(front):
    status, sent, _ = answer_to(front, b"POST /v1/face/verify HTTP/1.1\r\nA: ", b"a" * 65536, most=50_000_000)
    assert status == "closed" or status.startswith("HTTP/1.1 400 ")
    assert sent < 10_000_000


def test_a_message_over_the_limit_is_refused_by_its_declared_length(front):
    before = psutil.Process(front.process.pid).memory_info().rss
    assert HEADERS in declared_only(front.grpc, VERIFY, 400 * 2**20)
    with grpc.insecure_channel(front.grpc, [("grpc.max_send_message_length", -1)]) as channel:
        image = messages.Image(encoded=bytes(100 * 2**20))
        ask = FaceServiceStub(channel).Embed
        refused = refusal(lambda: ask(messages.EmbedRequest(image=image), metadata=[("x-api-key", DESK)]))
        squeezed = refusal(
            lambda: ask(
                messages.EmbedRequest(image=image),
                metadata=[("x-api-key", DESK)],
                compression=grpc.Compression.Gzip,
            )
        )
    assert refused.code() is squeezed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert psutil.Process(front.process.pid).memory_info().rss - before < 50 * 2**20


def test_two_full_images_in_base64_fit(front):
    """Noise of 10 MiB is no image, but it is read."""
    full = base64.b64encode(bytes(10 * 2**20)).decode()
    answer = httpx.post(
        f"{front.base}/v1/face/verify", json={"img1": full, "img2": full}, headers={"X-Api-Key": DESK}, timeout=30
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_ARGUMENT")


def test_one_request_too_many_at_a_time_is_told_to_come_again(slow, pair):
    """And the one that Triton does not answer gets the deadline's answer."""
    ask = lambda _: httpx.post(f"{slow.base}/v1/face/verify", json=pair, timeout=20)  # noqa: E731
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(ask, range(3)))
    assert sorted(answer.status_code for answer in answers) == [429, 429, 504]
    for answer in answers:
        if answer.status_code == 429:
            assert answer.json()["error"]["code"] == "RESOURCE_EXHAUSTED"
            assert int(answer.headers["retry-after"]) >= 1


def test_grpc_has_the_same_limits(slow):
    image = messages.Image(encoded=b"x")
    with grpc.insecure_channel(slow.grpc) as channel:
        stub = FaceServiceStub(channel)
        asked = [stub.Embed.future(messages.EmbedRequest(image=image)) for _ in range(3)]
        codes = sorted(each.exception().code().name for each in asked)
    assert codes == ["DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"]


def test_a_caller_who_is_too_fast_is_told_when_to_come_again(slow):
    with httpx.Client() as client:
        answers = iter(lambda: client.get(f"{slow.base}/v1/face/people"), None)
        refused = next(answer for answer in islice(answers, 2000) if answer.status_code != 200)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "RESOURCE_EXHAUSTED")
        assert "slow down" in refused.json()["error"]["message"]
        time.sleep(int(refused.headers["retry-after"]))
        assert client.get(f"{slow.base}/v1/face/people").status_code == 200


def test_a_caller_who_goes_away_takes_the_place_along(silent, pair, tmp_path):
    """The gateway lets one in at a time, and waits for Triton for minutes."""
    with gateway(tmp_path / "log", silent, "--timeout", "300", "--concurrency", "1") as running:
        for number in range(4):
            headers = {"X-Request-Id": f"gone-{number}"}
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{running.base}/v1/face/verify", json=pair, timeout=0.2, headers=headers)
            (line,) = calls(running, request_id=f"gone-{number}")
            assert line["code"] == "CANCELLED"
