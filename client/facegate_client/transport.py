"""What gRPC and HTTP have in common: tensors go in, tensors or a FaceGateError come out, within a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from facegate_client.errors import DeadlineExceeded, ServerFault, Unreachable

TransportName = Literal["grpc", "http"]
Parameter = bool | int | float
Outputs = dict[str, NDArray[Any]]

DEFAULT_URLS: dict[TransportName, str] = {"grpc": "localhost:8001", "http": "localhost:8000"}


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One input: KServe's name and datatype ("UINT8", "INT32", "BYTES"), and the array, of the shape to be sent."""

    name: str
    datatype: str
    values: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files for gRPC over TLS. `ca` vouches for the server, the system's authorities do where None.

    `certificate` and `key` are this client's own, for a server that asks for one.
    """

    ca: str | PathLike[str] | None = None
    certificate: str | PathLike[str] | None = None
    key: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("tls: certificate and key go together")


class Transport(Protocol):
    """One server, reached one way. Safe to use from several threads."""

    def infer(self, model: str, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]) -> Outputs:
        """Every output of one inference, by name. Raises a FaceGateError where there is no answer."""

    def is_model_ready(self, model: str) -> bool:
        """Whether the model takes requests. Raises a FaceGateError where there is no answer."""

    def close(self) -> None:
        """Gives the connections back; calls after it are errors."""


def connect(url: str, protocol: TransportName, timeout_s: float, tls: Tls | None = None) -> Transport:
    """The transport for a protocol. Connects on the first call, not before."""
    if url.startswith(("http://", "https://")):
        raise ValueError(f"url: expected host:port, got {url}")
    if protocol == "grpc":
        from facegate_client.grpc_transport import GrpcTransport

        return GrpcTransport(url, timeout_s, tls)
    if protocol == "http":
        if tls is not None:
            raise ValueError("tls: Triton's HTTP cannot speak TLS; use gRPC")
        from facegate_client.http_transport import HttpTransport

        return HttpTransport(url, timeout_s)
    raise ValueError(f"protocol: expected 'grpc' or 'http', got {protocol!r}")


def triton_inputs(make: Callable[[str, list[int], str], Any], inputs: Iterable[Tensor]) -> list[Any]:
    """tritonclient's inputs; `make` is the InferInput of its gRPC or HTTP half."""
    made = []
    for tensor in inputs:
        made.append(make(tensor.name, list(tensor.values.shape), tensor.datatype))
        made[-1].set_data_from_numpy(tensor.values)
    return made


def read_outputs(names: Iterable[str], result: Any) -> Outputs:
    """The named tensors of tritonclient's result; raises ServerFault where one's bytes do not fit its shape."""
    try:
        return {name: result.as_numpy(name) for name in names}
    except (ValueError, TypeError, KeyError) as error:
        raise ServerFault(f"the answer cannot be read: {error}") from error


def unreachable(url: str, cause: object) -> Unreachable:
    """Nothing usable answers at `url`."""
    return Unreachable(f"no FaceGate server answers at {url}: {cause}")


def too_late(url: str, timeout_s: float) -> DeadlineExceeded:
    """`url` did not answer in time."""
    return DeadlineExceeded(f"no answer from {url} within {timeout_s:g} s")
