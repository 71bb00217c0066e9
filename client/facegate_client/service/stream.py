"""Which answer of an AnalyzeStream is of which image. No input or output but files."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from facegate_client.errors import FaceGateError, ServerFault
from facegate_client.images import ImageLike
from facegate_client.results import Faces
from facegate_client.service import face_service_pb2 as pb
from facegate_client.service.failures import of_status
from facegate_client.service.requests import ServiceCall


class Pairing:
    """Numbers a stream's images, and puts those that could not be sent back in their place among the answers.

    One thread may make requests while another reads answers.
    """

    def __init__(self, make: Callable[[ImageLike], ServiceCall[Faces]]) -> None:
        self._make = make
        self._given = self._told = 0
        self._waiting: dict[int, ServiceCall[Faces] | FaceGateError] = {}

    def request(self, image: ImageLike) -> pb.AnalyzeStreamRequest | None:
        """The image's message; None where it cannot be sent, which is told when its turn comes."""
        number, self._given = self._given, self._given + 1
        try:
            call = self._make(image)
        except FaceGateError as error:
            self._waiting[number] = error
            return None
        self._waiting[number] = ServiceCall(call.method, None, call.read)  # the picture is not kept
        return pb.AnalyzeStreamRequest(id=str(number), request=call.message)

    def outcomes(self, answer: pb.AnalyzeStreamResponse) -> Iterator[Faces | FaceGateError]:
        """What came of the images up to the one that is answered. Raises ServerFault."""
        yield from self._unsent()
        call = self._waiting.pop(self._told, None)
        if answer.id != str(self._told) or not isinstance(call, ServiceCall):
            raise ServerFault(f"the stream's answer {answer.id[:20]!r} is of no image whose turn it is")
        self._told += 1
        if answer.WhichOneof("outcome") == "error":
            yield of_status(answer.error)
        else:
            yield call.read(answer.response)

    def rest(self) -> Iterator[Faces | FaceGateError]:
        """The images after the last that was answered. Raises ServerFault where one of them was sent."""
        yield from self._unsent()
        if self._waiting:
            raise ServerFault(f"the stream ended with {len(self._waiting)} images not answered")

    def _unsent(self) -> Iterator[FaceGateError]:
        while isinstance(error := self._waiting.get(self._told), FaceGateError):
            del self._waiting[self._told]
            self._told += 1
            yield error
