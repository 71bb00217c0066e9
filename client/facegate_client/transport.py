"""What gRPC and HTTP have in common: tensors go in, tensors or a FaceGateError come out, within a deadline."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Protocol

from numpy.typing import NDArray

from facegate_client.errors import DeadlineExceeded, ServerFault, Unreachable

Parameter = bool | int | float
Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One input: KServe's name and datatype ("UINT8", "INT32", "BYTES"), and the array, of the shape to be sent."""

    name: str
    datatype: str
    values: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One inference: of which model, of what, and how."""

    model: str
    inputs: Sequence[Tensor]
    parameters: Mapping[str, Parameter]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Every output by name. `local`: this process computed them, and no server did."""

    outputs: Outputs
    local: bool = False


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

    def infer(self, call: Call, timeout_s: float) -> Answer:
        """One inference, within `timeout_s` seconds. Raises a FaceGateError where there is no answer."""

    def is_model_ready(self, model: str, timeout_s: float) -> bool:
        """Whether the model takes requests. Raises a FaceGateError where there is no answer."""

    def close(self) -> None:
        """Gives the connections back; calls after it are errors."""


class AsyncTransport(Protocol):
    """A Transport for the tasks of one event loop, the one it is first used in."""

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        """See Transport."""

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        """See Transport."""

    async def close(self) -> None:
        """See Transport."""


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
    except (ValueError, TypeError, KeyError, struct.error) as error:
        raise ServerFault(f"the answer cannot be read: {error}") from error


def unreachable(url: str, cause: object) -> Unreachable:
    """Nothing usable answers at `url`."""
    return Unreachable(f"no FaceGate server answers at {url}: {cause}")


def too_late(url: str, timeout_s: float) -> DeadlineExceeded:
    """`url` did not answer in time."""
    return DeadlineExceeded(f"no answer from {url} within {timeout_s:.3g} s")
