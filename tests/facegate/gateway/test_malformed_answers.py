"""Triton's answers that break the contract: an internal error with a number on every wire, and nobody's verdict."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time

import grpc
import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from facegate.gateway.door.incidents import failure_for
from facegate.gateway.door.metrics import Metrics
from facegate.gateway.door.observed import ObservedResults, ObservedTransport
from facegate.gateway.errors import Code
from facegate.gateway.faces import FaceGateway
from facegate.gateway.localai import backend_pb2
from facegate.gateway.localai.backend_pb2_grpc import BackendStub
from facegate_client.service import face_service_pb2 as pb
from facegate_client.service.face_service_pb2_grpc import FaceServiceStub
from facegate_client.transport.base import Answer, Call
from support.fake_triton import analyze_answer, serve, texts, verify_answer
from support.gateway import gateway
from support.memory_gallery import MemoryGallery

LIVENESS = (True, 0.98, True, 0.97)
VALID = {"face_verify": verify_answer(liveness=LIVENESS), "face_analyze": analyze_answer(2, liveness=True)}
ODD_JSON = ("", "{}", "null", "[1]", "{", '{"pack": 1}', "[" * 2000, '{"threshold": NaN}')


class Answering:
    """A transport that answers with these outputs."""

    regions = None

    def __init__(self, outputs) -> None:
        self.outputs = outputs

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        return Answer(self.outputs)


def asked(faces: FaceGateway, model: str):
    if model == "face_verify":
        return faces.verify(b"a", b"b", threshold=None, anti_spoofing=True, timeout_s=5)
    return faces.analyze(b"a", anti_spoofing=True, embeddings=True, timeout_s=5)


def counts(metrics: Metrics) -> dict[str, float]:
    """Verdicts and faces that are counted."""
    found = re.findall(r"^facegate_gateway_((?:liveness|verifications)_total\S+) (\S+)$", metrics.text().decode(), re.M)
    return {name: float(value) for name, value in found if float(value)}


def answered(model: str, outputs):
    """The failure, None where there is none, and what is counted."""
    metrics = Metrics()
    transport = ObservedTransport(Answering(outputs), metrics)
    faces = FaceGateway(transport, MemoryGallery(), observe=ObservedResults(metrics))
    try:
        asyncio.run(asked(faces, model))
    except Exception as error:
        return failure_for(error), counts(metrics)
    return None, counts(metrics)


def odd_arrays():
    shapes = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
    kinds = st.sampled_from([np.bool_, np.float32, np.int32, np.uint8, np.float64])
    return arrays.arrays(kinds, shapes) | st.sampled_from(ODD_JSON).map(texts) | st.just(np.array([None], object))


@pytest.mark.parametrize("model", VALID)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_an_altered_answer_is_read_or_is_an_internal_error_that_counts_no_verdict(model, data):
    valid = VALID[model]
    name = data.draw(st.sampled_from([*valid, "IS_REAL", "IS_REAL_9", "VERIFIED", "BOXES", "OTHER"]))
    outputs = {**valid, name: data.draw(st.none() | odd_arrays())}
    if outputs[name] is None:
        del outputs[name]
    failure, counted = answered(model, outputs)
    if failure is None:
        assert sum(counted.values()) == (3 if model == "face_verify" else 2)
        assert all(value > 0 for value in counted.values())
    else:
        assert failure.code is Code.INTERNAL
        assert re.fullmatch(r"internal error, incident [0-9a-f]{8}", failure.message)
        assert counted == {}


@pytest.mark.parametrize(("model", "name"), [(model, name) for model, outputs in VALID.items() for name in outputs])
def test_a_missing_output_is_an_internal_error(model, name):
    failure, counted = answered(model, {each: values for each, values in VALID[model].items() if each != name})
    assert (failure.code, counted) == (Code.INTERNAL, {})


@pytest.fixture(scope="module", params=["grpc", "http"])
def front(request, tmp_path_factory):
    """A gateway to a server whose answers lack an output, by either transport."""

    def answer(call):
        outputs = dict(VALID[call.model])
        del outputs["VERIFIED" if call.model == "face_verify" else "BOXES"]
        return outputs

    with serve(request.param, answer) as triton:
        url = triton.url if request.param == "grpc" else f"http://{triton.url}"
        with gateway(tmp_path_factory.mktemp("front") / "log", url) as running:
            yield running


IMAGE = base64.b64encode(b"an image").decode()
STREAMED = [pb.AnalyzeStreamRequest(request=pb.AnalyzeRequest(image=pb.Image(encoded=b"x"), anti_spoofing=True))]


def by_rest(front, stubs):
    answer = httpx.post(f"{front.base}/v1/face/verify", json={"img1": IMAGE, "img2": IMAGE, "anti_spoofing": True})
    assert answer.status_code == 500
    return answer.json()["error"]["message"]


def by_grpc(front, stubs):
    image = pb.Image(encoded=b"x")
    with pytest.raises(grpc.RpcError) as refused:
        stubs[0].Verify(pb.VerifyRequest(image_1=image, image_2=image, anti_spoofing=True), timeout=10)
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    return refused.value.details()


def by_localai(front, stubs):
    with pytest.raises(grpc.RpcError) as refused:
        stubs[1].FaceAnalyze(backend_pb2.FaceAnalyzeRequest(img=IMAGE, anti_spoofing=True), timeout=10)
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    return refused.value.details()


def by_stream(front, stubs):
    (answer,) = stubs[0].AnalyzeStream(iter(STREAMED), timeout=10)
    assert answer.error.code == grpc.StatusCode.INTERNAL.value[0]
    return answer.error.message


@pytest.mark.parametrize(
    ("ask", "series"),
    [
        (by_rest, 'requests_total{code="INTERNAL",method="/v1/face/verify",wire="rest"}'),
        (by_grpc, 'requests_total{code="INTERNAL",method="Verify",wire="grpc"}'),
        (by_localai, 'requests_total{code="INTERNAL",method="FaceAnalyze",wire="localai"}'),
        (by_stream, 'stream_errors_total{code="INTERNAL"}'),
    ],
)
def test_on_every_wire_it_is_a_number_that_the_log_explains(front, ask, series):
    with grpc.insecure_channel(front.grpc) as channel:
        message = ask(front, (FaceServiceStub(channel), BackendStub(channel)))
    (number,) = re.findall(r"^internal error, incident ([0-9a-f]{8})$", message)
    lines = [json.loads(line) for line in front.log.read_text().splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line.get("incident") == number]
    assert re.fullmatch(r"the answer lacks (VERIFIED|BOXES)", line["reason"])
    deadline = time.monotonic() + 5
    while f"facegate_gateway_{series} 1.0" not in httpx.get(f"{front.base}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert 'facegate_gateway_verifications_total{outcome="verified"} 0.0' in httpx.get(f"{front.base}/metrics").text
