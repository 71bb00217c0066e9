"""The gRPC transport: one channel, shared by all threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from facegate_client.errors import DeadlineExceeded, FaceGateError, Unreachable, from_triton
from facegate_client.transport import (
    Outputs,
    Parameter,
    Tensor,
    Tls,
    read_outputs,
    too_late,
    triton_inputs,
    unreachable,
)

T = TypeVar("T")

CHANNEL = [
    # A frame of 40 megapixels is 120 MB; gRPC's own limit on an answer is 4 MB.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Triton closes a connection that pings more often than every 300 s. What matters more: with keepalive on, the
    # kernel drops a connection whose peer has not acknowledged data for keepalive_timeout_ms (TCP_USER_TIMEOUT).
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # In a back-off every call fails at once. gRPC's own grows to two minutes; a watched server is back within seconds.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # for one attempt to connect, despite its name
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class GrpcTransport:
    """Thread-safe; make it after a fork, not before. Raises FaceGateErrors."""

    def __init__(self, url: str, timeout_s: float, tls: Tls | None = None) -> None:
        self._url = url
        self._timeout_s = timeout_s
        files = tls or Tls()
        local = url.startswith(("localhost:", "127.", "[::1]:"))  # no proxy knows this machine's own address
        self._client = triton.InferenceServerClient(
            url,
            ssl=tls is not None,
            root_certificates=files.ca,
            certificate_chain=files.certificate,
            private_key=files.key,
            channel_args=[*CHANNEL, ("grpc.enable_http_proxy", 0)] if local else CHANNEL,
        )

    def infer(self, model: str, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]) -> Outputs:
        """See Transport."""
        prepared = triton_inputs(triton.InferInput, inputs)
        result = self._call(
            lambda: self._client.infer(model, prepared, parameters=dict(parameters), client_timeout=self._timeout_s)
        )
        return read_outputs([output.name for output in result.get_response().outputs], result)

    def is_model_ready(self, model: str) -> bool:
        """See Transport."""
        return bool(self._call(lambda: self._client.is_model_ready(model, client_timeout=self._timeout_s)))

    def close(self) -> None:
        """See Transport."""
        self._client.close()

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except InferenceServerException as error:
            raise self._mapped(error) from error

    def _mapped(self, error: InferenceServerException) -> FaceGateError:
        mapped = from_triton(error)
        if isinstance(mapped, Unreachable):
            return unreachable(self._url, mapped)
        if isinstance(mapped, DeadlineExceeded):
            return too_late(self._url, self._timeout_s)
        return mapped
