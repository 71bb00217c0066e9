"""The gRPC transports: one channel, shared by all threads, or by all tasks of an event loop."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from facegate_client.errors import DeadlineExceeded, Unreachable, from_triton
from facegate_client.transport.base import Answer, Call, Tls, read_outputs, too_late, triton_inputs, unreachable
from facegate_client.transport.regions import GrpcRegions, has_forgotten

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
    """Thread-safe; make it after a fork, not before. Raises FaceGateErrors, and OSError where a PEM file is missing."""

    def __init__(self, url: str, tls: Tls | None = None) -> None:
        self._url = url
        self._client = triton.InferenceServerClient(url, **_channel(url, tls))

    def infer(self, call: Call, timeout_s: float) -> Answer:
        """See Transport."""
        with _errors_of_ours(self._url, timeout_s):
            return _answer(self._client.infer(**_request(call), client_timeout=timeout_s))

    def is_model_ready(self, model: str, timeout_s: float) -> bool:
        """See Transport."""
        with _errors_of_ours(self._url, timeout_s):
            return bool(self._client.is_model_ready(model, client_timeout=timeout_s))

    def close(self) -> None:
        """See Transport."""
        self._client.close()


class AsyncGrpcTransport:
    """A ServerTransport. Raises FaceGateErrors, and OSError where a PEM file is missing."""

    def __init__(self, url: str, tls: Tls | None = None) -> None:
        self._url = url
        self._channel = _channel(url, tls)
        self._made: triton_aio.InferenceServerClient | None = None
        self.regions = GrpcRegions(url, lambda: self._client)

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        """See Transport. A server that was started anew is told of the call's regions, and asked once more."""
        ends = time.monotonic() + timeout_s
        with _errors_of_ours(self._url, timeout_s):
            try:
                return await self._infer(call, timeout_s)
            except InferenceServerException as error:
                if not has_forgotten(error):
                    raise
            await self.regions.register_again(call, max(1e-3, ends - time.monotonic()))
            return await self._infer(call, max(1e-3, ends - time.monotonic()))

    async def _infer(self, call: Call, timeout_s: float) -> Answer:
        request = _request(call, self.regions)
        return _answer(await self._client.infer(**request, client_timeout=timeout_s))

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        """See Transport."""
        with _errors_of_ours(self._url, timeout_s):
            return bool(await self._client.is_model_ready(model, client_timeout=timeout_s))

    async def model_parameters(self, model: str, timeout_s: float) -> Mapping[str, str]:
        """See ServerTransport."""
        with _errors_of_ours(self._url, timeout_s):
            answer = await self._client.get_model_config(model, client_timeout=timeout_s)
        return {name: value.string_value for name, value in answer.config.parameters.items()}

    async def close(self) -> None:
        """See Transport."""
        if self._made is not None:
            await self._made.close()

    @property
    def _client(self) -> triton_aio.InferenceServerClient:
        if self._made is None:  # a channel belongs to the loop that it is made in
            self._made = triton_aio.InferenceServerClient(self._url, **self._channel)
        return self._made


def _channel(url: str, tls: Tls | None) -> dict[str, Any]:
    return {"channel_args": channel_options(url)} | ({} if tls is None else {"creds": channel_credentials(tls)})


def channel_options(url: str) -> list[tuple[str, int]]:
    """gRPC's, for a server at host:port."""
    local = url.startswith(("localhost:", "127.", "[::1]:"))  # no proxy knows this machine's own address
    return [*CHANNEL, ("grpc.enable_http_proxy", 0)] if local else CHANNEL


def channel_credentials(tls: Tls) -> grpc.ChannelCredentials:
    """What the PEM files hold. Raises OSError where one is missing."""
    files = (tls.ca, tls.key, tls.certificate)  # in the order that gRPC wants
    return grpc.ssl_channel_credentials(*(None if file is None else Path(file).read_bytes() for file in files))


def _request(call: Call, regions: Container[str] = ()) -> dict[str, Any]:
    inputs = triton_inputs(triton.InferInput, call.inputs, regions)
    return {"model_name": call.model, "inputs": inputs, "parameters": dict(call.parameters)}


def _answer(result: triton.InferResult) -> Answer:
    return Answer(read_outputs([output.name for output in result.get_response().outputs], result))


@contextmanager
def _errors_of_ours(url: str, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except InferenceServerException as error:
        mapped = from_triton(error)
        if isinstance(mapped, Unreachable):
            mapped = unreachable(url, mapped)
        if isinstance(mapped, DeadlineExceeded):
            mapped = too_late(url, timeout_s)
        raise mapped from error
