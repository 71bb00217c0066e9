"""FaceServiceClient: a gateway's FaceService."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType

import grpc

from facegate_client.errors import FaceGateError
from facegate_client.images import ImageLike
from facegate_client.results import Faces, Verification
from facegate_client.service import requests
from facegate_client.service.answers import read_person
from facegate_client.service.connection import DEFAULT_URL, Connection
from facegate_client.service.face_service_pb2_grpc import FaceServiceStub
from facegate_client.service.failures import of_call
from facegate_client.service.requests import Result, ServiceCall
from facegate_client.service.results import Embedding, Enrolment, Identification, Person
from facegate_client.service.stream import Pairing
from facegate_client.transport.base import Tls


class FaceServiceClient:
    """A gateway, at host:port. It verifies and analyses as FaceClient does, and remembers people.

    Images are what they are for FaceClient. One client serves any number of threads; make it after a fork, not before.
    Every call ends within `timeout_s` seconds; a stream lasts as long as its images. `api_key` goes with every call: in
    clear text where there is no `tls`.

    >>> with FaceServiceClient("gate:50051", api_key=key) as client:  # doctest: +SKIP
    ...     client.enroll(["ada-1.jpg", "ada-2.jpg"], name="Ada", anti_spoofing=True)
    ...     print(client.identify(frame, anti_spoofing=True).person)

    Each method raises a FaceGateError, FaceClient's and NotAuthenticated; its `request_id` is in the gateway's log.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = 10.0,
        tls: Tls | None = None,
    ) -> None:
        self._connection = Connection(url, api_key, timeout_s, tls)
        self._channel = self._connection.open(grpc)
        self._stub = FaceServiceStub(self._channel)  # type: ignore[no-untyped-call]
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
        """See FaceClient.verify; `several_faces` is "best" where None."""
        return self._ask(
            requests.verify(a, b, threshold=threshold, anti_spoofing=anti_spoofing, several_faces=several_faces)
        )

    def analyze(
        self,
        image: ImageLike,
        *,
        anti_spoofing: bool = False,
        embeddings: bool = True,
        min_score: float | None = None,
        max_faces: int | None = None,
        several_faces: str | None = None,
    ) -> Faces:
        """See FaceClient.analyze."""
        return self._ask(
            requests.analyze(
                image,
                anti_spoofing=anti_spoofing,
                embeddings=embeddings,
                min_score=min_score,
                max_faces=max_faces,
                several_faces=several_faces,
            )
        )

    def analyze_stream(
        self,
        images: Iterable[ImageLike],
        *,
        anti_spoofing: bool = False,
        embeddings: bool = True,
        min_score: float | None = None,
        max_faces: int | None = None,
        several_faces: str | None = None,
    ) -> Iterator[Faces | FaceGateError]:
        """`analyze` of one image after the other, in their order, several under way at a time.

        An image that cannot be answered gives its error in its place, and the stream goes on; an error of the stream is
        raised. `images` is iterated in another thread, no faster than the gateway takes them.
        """
        self._check_open()
        pairing = Pairing(
            partial(
                requests.analyze,
                anti_spoofing=anti_spoofing,
                embeddings=embeddings,
                min_score=min_score,
                max_faces=max_faces,
                several_faces=several_faces,
            )
        )
        failed = []

        def messages() -> Iterator[object]:
            try:
                for image in images:
                    if (message := pairing.request(image)) is not None:
                        yield message
            except Exception as error:  # the caller's own, which gRPC would only log
                failed.append(error)

        call = self._stub.AnalyzeStream(messages(), metadata=self._connection.metadata)
        try:
            for answer in call:
                yield from pairing.outcomes(answer)
            yield from pairing.rest()
        except grpc.RpcError as error:
            raise of_call(error, self._connection.url, None) from error
        finally:
            call.cancel()
        if failed:
            raise failed[0]

    def detect(self, image: ImageLike, *, min_score: float | None = None, max_faces: int | None = None) -> Faces:
        """All faces' boxes, scores and landmarks, and nothing more."""
        return self._ask(requests.detect(image, min_score=min_score, max_faces=max_faces))

    def embed(self, image: ImageLike, *, several_faces: str | None = None) -> Embedding:
        """The embedding of one face; `several_faces` is "best" where None. Raises NoFace."""
        return self._ask(requests.embed(image, several_faces=several_faces))

    def enroll(
        self,
        images: Sequence[ImageLike],
        *,
        name: str,
        labels: Mapping[str, str] | None = None,
        anti_spoofing: bool = False,
        several_faces: str | None = None,
    ) -> Enrolment:
        """Remember a new person by photos of their face, 1 to 16: all of them or none.

        A photo of several faces is refused with BadImage, unless `several_faces` takes the "largest" or the "best".
        Raises NoFace, and with `anti_spoofing` NotLive where a face is fake.
        """
        return self._ask(
            requests.enroll(
                images,
                name=name,
                labels=labels or {},
                anti_spoofing=anti_spoofing,
                person_id="",
                several_faces=several_faces,
            )
        )

    def add_photos(
        self,
        person_id: str,
        images: Sequence[ImageLike],
        *,
        anti_spoofing: bool = False,
        several_faces: str | None = None,
    ) -> Enrolment:
        """More photos of a person who is remembered. Raises NoSuchPerson, and what `enroll` raises."""
        return self._ask(
            requests.enroll(
                images,
                name="",
                labels={},
                anti_spoofing=anti_spoofing,
                person_id=person_id,
                several_faces=several_faces,
            )
        )

    def identify(
        self,
        image: ImageLike,
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        margin: float | None = None,
        anti_spoofing: bool = False,
        several_faces: str | None = None,
    ) -> Identification:
        """Whose face it is: of several the largest, unless `several_faces` says otherwise. Raises NoFace.

        The `top_k` nearest people are told, 5 where None; who is nearer than `threshold` matches, the pack's own where
        None. With a `margin`, a distance, only the first can, and only where the second is at least so much farther.
        """
        return self._ask(
            requests.identify(
                image,
                top_k=top_k,
                threshold=threshold,
                margin=margin,
                anti_spoofing=anti_spoofing,
                several_faces=several_faces,
            )
        )

    def forget(self, person_id: str) -> None:
        """Delete a person and all of their photos' embeddings, for good. Raises NoSuchPerson."""
        self._ask(requests.forget(person_id))

    def people(self) -> Iterator[Person]:
        """Everybody who is remembered, in the order of their ids; asks for a page when it comes to it."""
        token = ""
        while True:
            page = self._ask(requests.people(token))
            yield from map(read_person, page.people)
            token = page.next_page_token
            if not token:
                return

    def close(self) -> None:
        """Gives the connection back. Calls that are still under way in other threads may fail."""
        if not self._closed:
            self._closed = True
            self._channel.close()

    def __enter__(self) -> FaceServiceClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, call: ServiceCall[Result]) -> Result:
        self._check_open()
        connection = self._connection
        rpc = getattr(self._stub, call.method)
        try:
            answer = rpc(call.message, timeout=connection.timeout_s, metadata=connection.metadata)
        except grpc.RpcError as error:
            raise of_call(error, connection.url, connection.timeout_s) from error
        return call.read(answer)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this FaceServiceClient is closed")
