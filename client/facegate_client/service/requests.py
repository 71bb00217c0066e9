"""From a method's arguments to FaceService's message, and what reads its answer. No input or output but files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from facegate_client.errors import InvalidRequest
from facegate_client.images import ImageLike, image_tensors
from facegate_client.requests import flag
from facegate_client.results import Faces, Verification
from facegate_client.service import answers
from facegate_client.service import face_service_pb2 as pb
from facegate_client.service.results import Embedding, Enrolment, Identification

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class ServiceCall(Generic[Result]):
    """Which rpc, with what message, and how its answer is read: `read` raises ServerFault."""

    method: str
    message: Any
    read: Callable[[Any], Result]


def verify(
    a: ImageLike, b: ImageLike, *, threshold: float | None, anti_spoofing: bool, several_faces: str | None
) -> ServiceCall[Verification]:
    """Reads image files, as all of these; raises InvalidRequest."""
    checked = flag("anti_spoofing", anti_spoofing)
    message = _message(
        pb.VerifyRequest,
        image_1=_image(a, 1),
        image_2=_image(b, 2),
        threshold=threshold,
        anti_spoofing=checked,
        several_faces=several_faces,
    )
    return ServiceCall("Verify", message, partial(answers.read_verification, anti_spoofing=checked))


def analyze(
    image: ImageLike,
    *,
    anti_spoofing: bool,
    embeddings: bool,
    min_score: float | None,
    max_faces: int | None,
    several_faces: str | None,
) -> ServiceCall[Faces]:
    """FaceServiceClient.analyze's."""
    checked, described = flag("anti_spoofing", anti_spoofing), flag("embeddings", embeddings)
    message = _message(
        pb.AnalyzeRequest,
        image=_image(image),
        anti_spoofing=checked,
        with_embeddings=described,
        min_score=min_score,
        max_faces=max_faces,
        several_faces=several_faces,
    )
    read = partial(answers.read_faces, anti_spoofing=checked, embeddings=described)
    return ServiceCall("Analyze", message, read)


def detect(image: ImageLike, *, min_score: float | None, max_faces: int | None) -> ServiceCall[Faces]:
    """FaceServiceClient.detect's."""
    message = _message(pb.DetectRequest, image=_image(image), min_score=min_score, max_faces=max_faces)
    return ServiceCall("Detect", message, partial(answers.read_faces, anti_spoofing=False, embeddings=False))


def embed(image: ImageLike, *, several_faces: str | None) -> ServiceCall[Embedding]:
    """FaceServiceClient.embed's."""
    message = _message(pb.EmbedRequest, image=_image(image), several_faces=several_faces)
    return ServiceCall("Embed", message, answers.read_embedding)


def enroll(
    images: Iterable[ImageLike],
    *,
    name: str,
    labels: Mapping[str, str],
    anti_spoofing: bool,
    person_id: str,
    several_faces: str | None,
) -> ServiceCall[Enrolment]:
    """FaceServiceClient.enroll's and add_photos'."""
    checked = flag("anti_spoofing", anti_spoofing)
    message = _message(
        pb.EnrollRequest,
        images=[_image(image) for image in images],
        name=name,
        labels=dict(labels),
        anti_spoofing=checked,
        person_id=person_id,
        several_faces=several_faces,
    )
    return ServiceCall("Enroll", message, partial(answers.read_enrolment, anti_spoofing=checked))


def identify(
    image: ImageLike,
    *,
    top_k: int | None,
    threshold: float | None,
    margin: float | None,
    anti_spoofing: bool,
    several_faces: str | None,
) -> ServiceCall[Identification]:
    """FaceServiceClient.identify's."""
    checked = flag("anti_spoofing", anti_spoofing)
    message = _message(
        pb.IdentifyRequest,
        image=_image(image),
        anti_spoofing=checked,
        top_k=top_k,
        threshold=threshold,
        margin=margin,
        several_faces=several_faces,
    )
    return ServiceCall("Identify", message, partial(answers.read_identification, anti_spoofing=checked))


def forget(person_id: str) -> ServiceCall[None]:
    """FaceServiceClient.forget's."""
    return ServiceCall("Forget", _message(pb.ForgetRequest, person_id=person_id), lambda answer: None)


def people(page_token: str) -> ServiceCall[pb.ListPeopleResponse]:
    """One page of FaceServiceClient.people's."""
    return ServiceCall("ListPeople", pb.ListPeopleRequest(page_token=page_token), lambda answer: answer)


def _message(kind: Any, **fields: Any) -> Any:
    """A field that is None stays absent."""
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:  # protobuf's words for a wrong type or range
        raise InvalidRequest(f"the request cannot be written down: {error}") from error


def _image(image: ImageLike, number: int | None = None) -> pb.Image:
    content, *shape = image_tensors(image, number)
    if not shape:
        return pb.Image(encoded=content.values[0])
    height, width = shape[0].values.tolist()
    return pb.Image(frame=pb.Frame(bgr=content.values.tobytes(), height=height, width=width))
