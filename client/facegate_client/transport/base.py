"""What gRPC and HTTP have in common: tensors go in, tensors or a FaceGateError come out, within a deadline."""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Protocol

from numpy.typing import NDArray

from facegate_client.errors import DeadlineExceeded, ServerFault, Unreachable

Parameter = bool | int | float | str
Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes lie in a Region: its name, and the first one's offset."""

    region: str
    offset: int


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One input: KServe's name and datatype ("UINT8", "INT32", "BYTES"), and the array, of the shape to be sent.

    `place` is where the very bytes of `values` lie too, for a transport whose server has been told of the region.
    """

    name: str
    datatype: str
    values: NDArray[Any]
    place: Place | None = None


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


@dataclass(frozen=True, slots=True)
class Region:
    """Memory of this machine that a server is to map: its name there, its POSIX name ("/..."), its size in bytes."""

    name: str
    key: str
    size: int


class Regions(Protocol):
    """The memory that a server was told of. A server that has forgotten is told again when an inference shows it.

    Each method raises a FaceGateError. `admin_key` is the server's, for one that keeps this to who has its key.
    """

    async def register(self, region: Region, admin_key: str | None, timeout_s: float) -> None:
        """The server maps it from now on: after a restart, too, and where it does not answer now, once it does."""

    async def unregister(self, name: str, admin_key: str | None, timeout_s: float) -> None:
        """The server lets go of it; no error where it has none of that name."""

    async def listed(self, admin_key: str | None, timeout_s: float) -> list[Region]:
        """All of this machine's memory that the server maps, whoever told it; no GPU's."""


class AsyncTransport(Protocol):
    """A Transport for the tasks of one event loop, the one it is first used in."""

    @property
    def regions(self) -> Regions | None:
        """None where inputs cannot be passed in shared memory."""

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        """See Transport."""

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        """See Transport."""

    async def close(self) -> None:
        """See Transport."""


class ServerTransport(AsyncTransport, Protocol):
    """An AsyncTransport whose answers all come from a server."""

    async def model_parameters(self, model: str, timeout_s: float) -> Mapping[str, str]:
        """The parameters in a served model's configuration. Raises a FaceGateError where there is no answer."""


def triton_inputs(
    make: Callable[[str, list[int], str], Any], inputs: Iterable[Tensor], regions: Container[str] = ()
) -> list[Any]:
    """tritonclient's inputs; `make` is the InferInput of its gRPC or HTTP half.

    A tensor that lies in one of `regions`, given by name, goes as its place; all others as their bytes.
    """
    made = []
    for tensor in inputs:
        made.append(make(tensor.name, list(tensor.values.shape), tensor.datatype))
        if tensor.place is not None and tensor.place.region in regions:
            made[-1].set_shared_memory(tensor.place.region, tensor.values.nbytes, tensor.place.offset)
        else:
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
