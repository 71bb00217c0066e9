"""Our server as one of the ways: KServe v2 over gRPC, each request serialised once."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tritonclient.grpc import service_pb2

from benchmarks.bench.peer import Pair, Verdict, raw_calls
from facegate_client import contract

_INFER = "/inference.GRPCInferenceService/ModelInfer"

Call = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class OurVerification:
    """face_verify with anti_spoofing."""

    call: Call

    def prepared(self, pair: Pair) -> Callable[[], bytes]:
        """See Way."""
        inputs = {f"{contract.IMAGE}_{number}": data for number, data in enumerate(pair, 1)}
        message = _message(contract.VERIFY, inputs, {contract.ANTI_SPOOFING: True})
        return lambda: self.call(message)

    def read(self, answer: bytes) -> Verdict:
        """See Way."""
        outputs = _outputs(answer)
        real_1, real_2 = (outputs[f"{contract.IS_REAL}_{number}"] == b"\1" for number in (1, 2))
        (distance,) = struct.unpack("<f", outputs[contract.DISTANCE])
        return Verdict(outputs[contract.VERIFIED] == b"\1", (real_1, real_2), distance)


@contextmanager
def calls(address: str) -> Iterator[Call]:
    """A connection to our server."""
    with raw_calls(address, _INFER) as call:
        yield call


def _message(model: str, images: dict[str, bytes], parameters: dict[str, bool]) -> bytes:
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, data in images.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1])
        request.raw_input_contents.append(struct.pack("<I", len(data)) + data)
    for name, value in parameters.items():
        request.parameters[name].bool_param = value
    message: bytes = request.SerializeToString()
    return message


def _outputs(answer: bytes) -> dict[str, bytes]:
    response = service_pb2.ModelInferResponse.FromString(answer)
    return {output.name: raw for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)}
