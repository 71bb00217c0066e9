"""Whatever is sent, it gets an answer, nothing dies of it, and the next good request is answered."""

from __future__ import annotations

import json
import queue
import random

import cv2
import grpc
import httpx
import numpy as np
import psutil
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from support.malformed import malformed_requests
from support.wire import encoded, infer

COUNT = 500


@pytest.fixture(autouse=True)
def unharmed(server, samples):
    """After each test: the same processes, and a good request answered."""
    before = {child.pid for child in psutil.Process(server.process.pid).children(recursive=True)}
    yield
    assert {child.pid for child in psutil.Process(server.process.pid).children(recursive=True)} == before
    pair = [encoded(f"IMAGE_{i}", samples["image_T1.jpg"]) for i in (1, 2)]
    assert infer("grpc", server.grpc, "face_verify", pair, anti_spoofing=True).outputs["VERIFIED"][0]


@pytest.fixture
def stub(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def grpc_request(model, tensors):
    request = service_pb2.ModelInferRequest(model_name=model)
    for tensor in tensors:
        request.inputs.add(name=tensor.name, datatype=tensor.dtype, shape=tensor.shape)
        request.raw_input_contents.append(tensor.content)
    return request


def test_malformed_requests_over_grpc(stub):
    for model, tensors in malformed_requests(COUNT, seed=1):
        with pytest.raises(grpc.RpcError) as refusal:
            stub.ModelInfer(grpc_request(model, tensors), timeout=10)
        # Triton's own check of a batch whose size overflows calls it INTERNAL: docs/wire.md.
        overflown = "max allowed is" in (refusal.value.details() or "")
        expected = grpc.StatusCode.INTERNAL if overflown else grpc.StatusCode.INVALID_ARGUMENT
        assert refusal.value.code() is expected, (model, tensors)


def test_malformed_requests_over_a_grpc_stream(stub):
    requests = list(malformed_requests(COUNT, seed=2))
    waiting: queue.Queue[object] = queue.Queue()
    for model, tensors in requests:
        waiting.put(grpc_request(model, tensors))
    waiting.put(None)
    answers = list(stub.ModelStreamInfer(iter(waiting.get, None), timeout=60))
    assert len(answers) == len(requests)
    assert all(answer.error_message for answer in answers)


def test_malformed_requests_over_http(server):
    with httpx.Client(base_url=f"http://{server.http}", timeout=10) as client:
        for model, tensors in malformed_requests(COUNT, seed=3):
            described = [
                {
                    "name": tensor.name,
                    "datatype": tensor.dtype,
                    "shape": tensor.shape,
                    "parameters": {"binary_data_size": len(tensor.content)},
                }
                for tensor in tensors
            ]
            head = json.dumps({"inputs": described, "parameters": {"binary_data_output": True}}).encode()
            answer = client.post(
                f"/v2/models/{model}/infer",
                content=head + b"".join(tensor.content for tensor in tensors),
                headers={"Inference-Header-Content-Length": str(len(head))},
            )
            # Triton's own JSON reader answers 500 to a negative dimension, before any model: docs/wire.md.
            negative = any(side < 0 for tensor in tensors for side in tensor.shape)
            tritons_own = "max allowed is" in answer.text or (negative and "shape" in answer.text)
            assert answer.status_code == (500 if tritons_own and answer.status_code == 500 else 400), (model, tensors)


def test_json_that_is_no_request(server):
    bodies = (b"", b"{", b"[]", b"null", b'{"inputs": 5}', b'{"inputs": [[]]}', b"\xff\xfe", b'{"inputs":' * 5000)
    for body in bodies:
        answer = httpx.post(f"http://{server.http}/v2/models/face_analyze/infer", content=body, timeout=10)
        assert 400 <= answer.status_code < 600


def test_an_unknown_model_is_not_found(server):
    answer = infer("grpc", server.grpc, "face_analyse", [encoded("IMAGE", b"x")])
    assert answer.status == "StatusCode.NOT_FOUND"


def test_mutated_pictures_are_analysed_or_refused(server, samples, stub):
    chance = random.Random(4)
    image = cv2.imread(str(samples["image_T1.jpg"]))[:160, :160]
    kinds = [cv2.imencode(kind, image)[1].tobytes() for kind in (".jpg", ".png", ".webp", ".bmp")]
    refused = 0
    for number in range(COUNT):
        data = bytearray(kinds[number % 4])
        for _ in range(chance.choice((1, 3, 30))):
            place = chance.randrange(min(len(data), chance.choice((64, len(data)))))
            data[place] = chance.randrange(256)
        if chance.random() < 0.2:
            data = data[: chance.randrange(len(data))]
        answer = infer_image(stub, bytes(data))
        refused += answer is None
    assert 0 < refused < COUNT


def infer_image(stub, data):
    """The rows of BOXES, or None for the one refusal that there may be."""
    request = service_pb2.ModelInferRequest(model_name="face_analyze")
    request.inputs.add(name="IMAGE", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(len(data).to_bytes(4, "little") + data)
    try:
        answer = stub.ModelInfer(request, timeout=30)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.details().startswith("INVALID_ARGUMENT: IMAGE: ")
        return None
    boxes = np.frombuffer(answer.raw_output_contents[0], np.float32)
    assert np.isfinite(boxes).all()
    return len(boxes) // 4
