"""FaceClient: verify two images, analyse one."""

from __future__ import annotations

import math
import operator
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.answers import read_faces, read_verification
from facegate_client.errors import FaceGateError, InvalidRequest
from facegate_client.images import ImageLike, faces_tensor, image_tensors
from facegate_client.results import Face, Verification
from facegate_client.transport import DEFAULT_URLS, Outputs, Parameter, Tensor, Tls, TransportName, connect


class FaceClient:
    """A FaceGate server, over gRPC or HTTP.

    An image is a path, an encoded file's bytes (JPEG, PNG, WebP, BMP), or pixels: uint8 [height, width, 3], BGR, as
    OpenCV has them; pixels are sent raw. One client serves any number of threads; make it after a fork, not before.
    Every call ends within `timeout_s` seconds. `url` is host:port; where not given, localhost at the protocol's usual
    port. `tls` makes gRPC speak TLS.

    >>> with FaceClient("localhost:8001") as client:  # doctest: +SKIP
    ...     if client.verify("passport.jpg", frame, anti_spoofing=True):
    ...         open_the_gate()

    Each method raises a FaceGateError: BadImage and InvalidRequest for what was sent, LivenessUnavailable,
    Overloaded, DeadlineExceeded, Unreachable and ServerFault for the server.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        protocol: TransportName = "grpc",
        timeout_s: float = 10.0,
        tls: Tls | None = None,
    ) -> None:
        if not 0 < timeout_s < math.inf:
            raise ValueError(f"timeout_s: expected a positive number of seconds, got {timeout_s}")
        self.url = url or DEFAULT_URLS.get(protocol, "")
        self._transport = connect(self.url, protocol, timeout_s, tls)
        self._closed = False

    def verify(
        self, a: ImageLike, b: ImageLike, *, threshold: float | None = None, anti_spoofing: bool = False
    ) -> Verification:
        """Whether the best-detected face of `a` and that of `b` are one person's; the result is true where they are.

        `threshold` is the cosine distance, in (0, 2], below which they are; the server's own where None. With
        `anti_spoofing`, a face that is not live vetoes. Raises NoFace where an image shows none.
        """
        parameters = _parameters(
            {contract.DISTANCE_THRESHOLD: _real("threshold", threshold), contract.ANTI_SPOOFING: bool(anti_spoofing)}
        )
        outputs = self._infer(contract.VERIFY, image_tensors(a, 1) + image_tensors(b, 2), parameters)
        return read_verification(outputs, anti_spoofing=bool(anti_spoofing))

    def analyze(
        self,
        image: ImageLike,
        *,
        anti_spoofing: bool = False,
        embeddings: bool = True,
        min_score: float | None = None,
        max_faces: int | None = None,
        faces: NDArray[Any] | None = None,
    ) -> list[Face]:
        """All faces of an image, the best-detected first; an empty list where there is none.

        `faces`, numbers [N, 14] (x1 y1 x2 y2, then the five landmarks' x y, image pixels), are described instead of
        detected: for cameras that track. With neither liveness nor embeddings, only detection runs.
        """
        parameters = _parameters(
            {
                contract.ANTI_SPOOFING: bool(anti_spoofing),
                contract.WITH_EMBEDDINGS: bool(embeddings),
                contract.MIN_SCORE: _real("min_score", min_score),
                contract.MAX_FACES: _count("max_faces", max_faces),
            }
        )
        inputs = image_tensors(image)
        if faces is not None:
            inputs.append(faces_tensor(faces))
        outputs = self._infer(contract.ANALYZE, inputs, parameters)
        return read_faces(outputs, anti_spoofing=bool(anti_spoofing), embeddings=bool(embeddings))

    def is_ready(self) -> bool:
        """Whether the server says that both of its face models take requests; False where it does not answer."""
        self._check_open()
        try:
            return all(self._transport.is_model_ready(model) for model in (contract.VERIFY, contract.ANALYZE))
        except FaceGateError:
            return False

    def close(self) -> None:
        """Gives the connections back. Calls that are still under way in other threads may fail."""
        if not self._closed:
            self._closed = True
            self._transport.close()

    def __enter__(self) -> FaceClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _infer(self, model: str, inputs: list[Tensor], parameters: dict[str, Parameter]) -> Outputs:
        self._check_open()
        return self._transport.infer(model, inputs, parameters)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this FaceClient is closed")


def _parameters(values: dict[str, Parameter | None]) -> dict[str, Parameter]:
    return {name: value for name, value in values.items() if value is not None}


def _real(name: str, value: float | None) -> float | None:
    """A Python float, which is what travels as a double; range is the server's matter."""
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or isinstance(value, str):
        raise InvalidRequest(f"{name}: expected a finite number, got {value!r}")
    return number


def _count(name: str, value: int | None) -> int | None:
    if value is None:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or not 1 <= number <= contract.MAX_FACES_LIMIT:
        raise InvalidRequest(f"{name}: expected a whole number in 1-{contract.MAX_FACES_LIMIT}, got {value!r}")
    return number
