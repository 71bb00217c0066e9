"""The operator's rules on a real server: no request gets around the liveness check or the largest threshold."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from facegate.cli.running import free_ports
from facegate.gateway.localai import backend_pb2 as localai
from facegate.gateway.localai.backend_pb2_grpc import BackendStub
from facegate_client import FaceClient, InvalidRequest
from facegate_client.service import FaceServiceClient
from support.gateway import Gateway, gateway
from support.serving import Server, serving
from support.wire import TRANSPORTS, encoded, infer, refused

LIMIT = 0.8
RULES = ("--require-liveness", "--max-threshold", str(LIMIT))


@pytest.fixture(scope="module")
def strict(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("strict") / "log", *RULES) as running:
        yield running


@pytest.fixture(scope="module")
def strict_gateway(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with rules of its own, before a server that has none."""
    with gateway(tmp_path_factory.mktemp("gateway") / "log", server.grpc, *RULES) as running:
        yield running


@pytest.fixture
def pair(samples: dict[str, Path]) -> list[tuple[str, Any]]:
    return [encoded(f"IMAGE_{number}", samples["image_T1.jpg"]) for number in (1, 2)]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_verification_without_the_liveness_check_is_refused(strict: Server, pair: Any, transport: str) -> None:
    for parameters in ({}, {"anti_spoofing": False}):
        answer = infer(transport, strict.address(transport), "face_verify", pair, **parameters)
        assert refused(answer, transport, "INVALID_ARGUMENT")
        assert "anti_spoofing" in (answer.message or "")
    checked = infer(transport, strict.address(transport), "face_verify", pair, anti_spoofing=True).outputs
    assert checked["VERIFIED"].tolist() == checked["IS_REAL_1"].tolist() == [True]


def test_a_threshold_above_the_limit_is_refused_and_one_at_the_limit_is_not(strict: Server, pair: Any) -> None:
    for threshold in (2.0, LIMIT + 1e-6):
        answer = infer("grpc", strict.grpc, "face_verify", pair, anti_spoofing=True, threshold=threshold)
        assert refused(answer, "grpc", "INVALID_ARGUMENT")
        assert "threshold" in (answer.message or "")
    taken = infer("grpc", strict.grpc, "face_verify", pair, anti_spoofing=True, threshold=LIMIT)
    assert taken.outputs["THRESHOLD"].tolist() == [np.float32(LIMIT)]


def test_an_analysis_may_leave_the_liveness_check_out(strict: Server, samples: dict[str, Path]) -> None:
    """Cameras call it between checks; its answer has no IS_REAL then."""
    answer = infer("grpc", strict.grpc, "face_analyze", [encoded("IMAGE", samples["image_T1.jpg"])])
    assert len(answer.outputs["SCORES"]) == 1
    assert "IS_REAL" not in answer.outputs


def http_body(pair: list[tuple[str, Any]], place: str) -> tuple[dict[str, Any], dict[str, str], bytes]:
    """A face_verify request with anti_spoofing in the wrong `place`: query, headers and binary body."""
    content = [values[0] for _, values in pair]
    inputs = [
        {
            "name": name,
            "datatype": "BYTES",
            "shape": [1],
            "parameters": {"binary_data_size": len(data) + 4, **({"anti_spoofing": True} if place == "input" else {})},
        }
        for (name, _), data in zip(pair, content, strict=True)
    ]
    request = {"inputs": inputs, **({"anti_spoofing": True} if place == "top level" else {})}
    if place == "output":
        request["outputs"] = [
            {"name": name, "parameters": {"anti_spoofing": True}} for name in ("VERIFIED", "IS_REAL_1", "IS_REAL_2")
        ]
    text = json.dumps(request).encode()
    binary = b"".join(len(data).to_bytes(4, "little") + data for data in content)
    headers = {"Inference-Header-Content-Length": str(len(text))}
    query = {"anti_spoofing": "true"} if place == "query" else {}
    return query, headers | ({"anti_spoofing": "true"} if place == "header" else {}), text + binary


PLACES = ("top level", "input", "output", "query", "header")


def misplaced_over_http(server: Server, pair: list[tuple[str, Any]], place: str) -> httpx.Response:
    query, headers, body = http_body(pair, place)
    url = f"http://{server.http}/v2/models/face_verify/infer"
    return httpx.post(url, params=query, headers=headers, content=body, timeout=30)


@pytest.mark.parametrize("place", PLACES)
def test_what_triton_drops_over_http_is_a_refusal_where_liveness_is_required(
    server: Server, strict: Server, pair: Any, place: str
) -> None:
    """Without the rule the answer is a verdict without a liveness check, as docs/wire.md says."""
    answer = misplaced_over_http(strict, pair, place)
    assert (answer.status_code, "INVALID_ARGUMENT: anti_spoofing" in answer.text) == (400, True)
    unchecked = misplaced_over_http(server, pair, place)
    assert unchecked.status_code == 200
    assert b"VERIFIED" in unchecked.content
    assert b"IS_REAL" not in unchecked.content


@pytest.mark.parametrize("place", ["metadata", "input", "output"])
def test_what_triton_drops_over_grpc_is_a_refusal_where_liveness_is_required(
    server: Server, strict: Server, pair: Any, place: str
) -> None:
    inputs = []
    for name, values in pair:
        tensor = tritonclient.grpc.InferInput(name, [1], "BYTES")
        tensor.set_data_from_numpy(values)
        inputs.append(tensor)
    request = service_pb2.ModelInferRequest(model_name="face_verify")
    for tensor in inputs:
        request.inputs.append(tensor._get_tensor())
        request.raw_input_contents.append(tensor._get_content())
    if place == "input":
        request.inputs[0].parameters["anti_spoofing"].bool_param = True
    if place == "output":
        for name in ("VERIFIED", "IS_REAL_1", "IS_REAL_2"):
            request.outputs.add(name=name).parameters["anti_spoofing"].bool_param = True
    metadata = [("anti_spoofing", "true")] if place == "metadata" else None

    def ask(address: str) -> set[str]:
        with grpc.insecure_channel(address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            return {output.name for output in stub.ModelInfer(request, metadata=metadata).outputs}

    with pytest.raises(grpc.RpcError) as refusal:
        ask(strict.grpc)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    names = ask(server.grpc)
    assert "VERIFIED" in names
    assert "IS_REAL_1" not in names


def starting(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "facegate", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--max-threshold", "0.3"), ("--max-threshold", "0.3")),
        (("--require-liveness", "--without-liveness"), ("--require-liveness", "--without-liveness")),
    ],
)
def test_rules_that_the_pack_cannot_keep_stop_the_start(
    repository: Path, options: tuple[str, ...], names: tuple[str, ...]
) -> None:
    ended = starting("serve", *options)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert all(name in last for name in names)


def test_a_gateway_cannot_require_what_it_is_told_to_do_without(tmp_path: Path) -> None:
    ended = starting("gateway", "--require-liveness", "--without-liveness", "--gallery", str(tmp_path / "db"))
    assert ended.returncode == 1
    assert "--require-liveness" in ended.stderr.splitlines()[-1]


def test_a_gateway_with_a_limit_below_the_servers_threshold_does_not_start(server: Server, tmp_path: Path) -> None:
    ports = zip(("--grpc-port", "--http-port", "--probe-port"), map(str, free_ports(3)), strict=True)
    options = ("--url", server.grpc, "--max-threshold", "0.3", "--gallery", str(tmp_path / "db"))
    ended = starting("gateway", *options, *(word for pair in ports for word in pair))
    assert ended.returncode == 1
    assert "--max-threshold" in ended.stderr.splitlines()[-1]


def test_rest_refuses_what_the_rules_forbid(strict_gateway: Gateway, samples: dict[str, Path]) -> None:
    photo = {"img": samples["image_T1.jpg"].read_bytes()}
    pair = {f"img{number}": photo["img"] for number in (1, 2)}
    with httpx.Client(base_url=strict_gateway.base, timeout=30) as rest:
        for path, files, fields in (
            ("/v1/face/verify", pair, {}),
            ("/v1/face/identify", photo, {}),
            ("/v1/face/register", photo, {"name": "Ada"}),
        ):
            answer = rest.post(path, files=files, data={**fields, "anti_spoofing": "false"})
            assert answer.status_code == 400, path
            assert [each["field"] for each in answer.json()["error"]["fields"]] == ["anti_spoofing"], path
        assert rest.get("/v1/face/people").json()["people"] == []
        for path, files in (("/v1/face/verify", pair), ("/v1/face/identify", photo)):
            answer = rest.post(path, files=files, data={"anti_spoofing": "true", "threshold": "2"})
            assert answer.status_code == 400, path
            assert [each["field"] for each in answer.json()["error"]["fields"]] == ["threshold"], path
        checked = rest.post("/v1/face/verify", files=pair, data={"anti_spoofing": "true"}).json()
        assert (checked["verified"], checked["img1_is_real"]) == (True, True)
        assert rest.post("/v1/face/analyze", files=photo).status_code == 200


def test_face_service_and_localais_wire_refuse_what_the_rules_forbid(
    strict_gateway: Gateway, samples: dict[str, Path]
) -> None:
    photo = samples["image_T1.jpg"]
    with FaceServiceClient(strict_gateway.grpc) as client:
        for call in (
            lambda: client.verify(photo, photo),
            lambda: client.identify(photo),
            lambda: client.enroll([photo], name="Ada"),
        ):
            with pytest.raises(InvalidRequest, match="anti_spoofing"):
                call()
        with pytest.raises(InvalidRequest, match="threshold"):
            client.verify(photo, photo, anti_spoofing=True, threshold=LIMIT + 0.01)
        assert client.verify(photo, photo, anti_spoofing=True)
    text = base64.b64encode(photo.read_bytes()).decode()
    with grpc.insecure_channel(strict_gateway.grpc) as channel:
        ask = BackendStub(channel).FaceVerify
        with pytest.raises(grpc.RpcError) as refusal:
            ask(localai.FaceVerifyRequest(img1=text, img2=text))
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert ask(localai.FaceVerifyRequest(img1=text, img2=text, anti_spoofing=True)).verified


@pytest.mark.parametrize("unclear", [None, 0, 1, "", "false", np.True_])
def test_a_client_sends_no_request_whose_liveness_check_is_unclear(server: Server, unclear: Any) -> None:
    with FaceClient(server.grpc) as client:
        for call in (
            lambda: client.verify(b"a", b"b", anti_spoofing=unclear),
            lambda: client.analyze(b"a", anti_spoofing=unclear),
            lambda: client.analyze(b"a", embeddings=unclear),
        ):
            with pytest.raises(InvalidRequest, match="True or False"):
                call()
    with FaceServiceClient("127.0.0.1:1") as service:
        for call in (
            lambda: service.verify(b"a", b"b", anti_spoofing=unclear),
            lambda: service.analyze(b"a", anti_spoofing=unclear),
            lambda: service.identify(b"a", anti_spoofing=unclear),
            lambda: service.enroll([b"a"], name="Ada", anti_spoofing=unclear),
        ):
            with pytest.raises(InvalidRequest, match="anti_spoofing"):
                call()
