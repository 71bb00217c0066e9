"""Results as FaceService's messages. What was not checked has no field: a None is never written down as a false."""

from __future__ import annotations

from facegate.gateway.faces import Enrolment, Identification, OneFace
from facegate.gateway.gallery import Person
from facegate_client.results import Box, Face, Faces, Model, Verification
from facegate_client.service import face_service_pb2 as pb


def box_message(box: Box) -> pb.Box:
    """Pixels of the image as given."""
    x1, y1, x2, y2 = box
    return pb.Box(x1=x1, y1=y1, x2=x2, y2=y2)


def model_message(model: Model) -> pb.Model:
    """The nets behind an answer."""
    return pb.Model(
        pack=model.pack,
        licence=model.licence,
        commercial_use=model.commercial_use,
        digest=model.digest,
        embedding_digest=model.embedding_digest,
        precision=model.precision,
        threshold=model.threshold,
    )


def face_message(face: Face, *, embedding: bool) -> pb.Face:
    """A face, with its embedding only where `embedding`; protobuf leaves a field that is given None absent."""
    return pb.Face(
        box=box_message(face.box),
        score=face.score,
        landmarks=[pb.Point(x=x, y=y) for x, y in face.landmarks],
        embedding=face.embedding.tolist() if embedding and face.embedding is not None else (),
        is_real=face.is_real,
        antispoof_score=face.antispoof_score,
    )


def verify_response(result: Verification) -> pb.VerifyResponse:
    """A verdict."""
    return pb.VerifyResponse(
        verified=result.verified,
        distance=result.distance,
        threshold=result.threshold,
        confidence=result.confidence,
        box_1=box_message(result.box_1),
        box_2=box_message(result.box_2),
        is_real_1=result.is_real_1,
        antispoof_score_1=result.antispoof_score_1,
        is_real_2=result.is_real_2,
        antispoof_score_2=result.antispoof_score_2,
        processing_time_ms=result.processing_time_ms,
        face_count_1=result.face_count_1,
        face_count_2=result.face_count_2,
        model=model_message(result.model),
    )


def analyze_response(faces: Faces) -> pb.AnalyzeResponse:
    """Faces, with embeddings where they have one."""
    return pb.AnalyzeResponse(
        faces=[face_message(face, embedding=True) for face in faces],
        model=model_message(faces.model),
        face_count=faces.face_count,
    )


def detect_response(faces: Faces) -> pb.DetectResponse:
    """Boxes, scores and landmarks."""
    return pb.DetectResponse(
        faces=[face_message(face, embedding=False) for face in faces], model=model_message(faces.model)
    )


def embed_response(result: OneFace) -> pb.EmbedResponse:
    """The embedding of one face."""
    described = face_message(result.face, embedding=True)
    return pb.EmbedResponse(
        embedding=described.embedding,
        box=described.box,
        score=described.score,
        model=model_message(result.model),
        face_count=result.face_count,
    )


def person_message(person: Person) -> pb.Person:
    """Someone who is remembered."""
    message = pb.Person(id=person.id, name=person.name, labels=dict(person.labels), photos=person.photos)
    message.registered_at.FromDatetime(person.registered_at)
    return message


def enroll_response(result: Enrolment) -> pb.EnrollResponse:
    """The person and their faces, without embeddings."""
    return pb.EnrollResponse(
        person=person_message(result.person),
        faces=[face_message(face, embedding=False) for face in result.faces],
        model=model_message(result.faces.model),
        face_counts=result.face_counts,
    )


def identify_response(result: Identification) -> pb.IdentifyResponse:
    """The nearest people."""
    return pb.IdentifyResponse(
        matches=[
            pb.Match(
                person=person_message(each.person),
                distance=each.distance,
                confidence=each.confidence,
                match=each.match,
            )
            for each in result.matches
        ],
        ambiguous=result.ambiguous,
        box=box_message(result.face.box),
        score=result.face.score,
        threshold=result.threshold,
        is_real=result.face.is_real,
        antispoof_score=result.face.antispoof_score,
        model=model_message(result.model),
        face_count=result.face_count,
    )
