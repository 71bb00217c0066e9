"""FaceClient: verify two images, analyse one."""

from __future__ import annotations

from os import PathLike
from types import TracebackType
from typing import Any, Literal

from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.errors import FaceGateError
from facegate_client.images import ImageLike
from facegate_client.requests import Request, Result, analysis, verification
from facegate_client.results import Faces, Verification
from facegate_client.settings import Settings, TransportName
from facegate_client.transport.base import Tls


class FaceClient:
    """A FaceGate server, over gRPC or HTTP.

    An image is a path, an encoded file's bytes (JPEG, PNG, WebP, BMP), or pixels: uint8 [height, width, 3], BGR, as
    OpenCV has them; pixels are sent raw. One client serves any number of threads; make it after a fork, not before.
    Every call ends within `timeout_s` seconds. `url` is host:port; where not given, localhost at the protocol's usual
    port. `tls` makes gRPC speak TLS.

    With `fallback="local"` this process answers while no server does, by the same pipeline and the same nets, which it
    opens when the client is made (facegate_client.fallback has the rules). They are those of `local_repository`, a
    directory as `facegate build` assembles it; where not given, of the environment's FACEGATE_LOCAL_REPOSITORY, else
    of the pack FACEGATE_PACK, built now where it is not. Raises ValueError where they cannot be opened and ImportError
    without the extra `local`.

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
        fallback: Literal["local"] | None = None,
        local_repository: str | PathLike[str] | None = None,
    ) -> None:
        settings = Settings(url, protocol, timeout_s, tls, fallback, local_repository)
        self.url = settings.address
        self._timeout_s = timeout_s
        self._transport = settings.connect()
        self._closed = False

    def verify(
        self,
        a: ImageLike,
        b: ImageLike,
        *,
        threshold: float | None = None,
        anti_spoofing: bool = False,
        several_faces: str | None = None,
    ) -> Verification:
        """Whether a face of `a` and one of `b` are one person's; the result is true where they are.

        `threshold` is the cosine distance, in (0, 2], below which they are; the server's own where None. With
        `anti_spoofing`, a face that is not live vetoes. Of an image with several faces, `several_faces` takes the
        "best" (highest detection score) or the "largest", or raises BadImage ("refuse"); the server's own where None,
        which is "best" unless its operator chose otherwise. Raises NoFace where an image shows none.
        """
        return self._ask(
            verification(a, b, threshold=threshold, anti_spoofing=anti_spoofing, several_faces=several_faces)
        )

    def analyze(
        self,
        image: ImageLike,
        *,
        anti_spoofing: bool = False,
        embeddings: bool = True,
        min_score: float | None = None,
        max_faces: int | None = None,
        faces: NDArray[Any] | None = None,
        several_faces: str | None = None,
    ) -> Faces:
        """All faces of an image, the best-detected first; an empty list where there is none.

        `faces`, numbers [N, 14] (x1 y1 x2 y2, then the five landmarks' x y, image pixels), are described instead of
        detected: for cameras that track. With neither liveness nor embeddings, only detection runs. `several_faces`,
        as for `verify`, returns at most one face, and the number of all faces as `face_count`; not with `faces`.
        """
        return self._ask(
            analysis(
                image,
                anti_spoofing=anti_spoofing,
                embeddings=embeddings,
                min_score=min_score,
                max_faces=max_faces,
                faces=faces,
                several_faces=several_faces,
            )
        )

    def is_ready(self) -> bool:
        """Whether the server says that both of its face models take requests; False where it does not answer.

        It is the server that is asked, whatever the fallback.
        """
        self._check_open()
        try:
            return all(self._transport.is_model_ready(model, self._timeout_s) for model in contract.MODELS)
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

    def _ask(self, request: Request[Result]) -> Result:
        self._check_open()
        return request.read(self._transport.infer(request.call, self._timeout_s))

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this FaceClient is closed")
