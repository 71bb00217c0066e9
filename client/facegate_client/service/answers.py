"""From FaceService's messages to results. Whatever breaks the contract is a ServerFault, never a result.

A liveness field must be there exactly where it was asked for, so that a missing one cannot pass as "not checked".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timezone
from typing import Any

import numpy as np

from facegate_client.errors import ServerFault
from facegate_client.results import Box, Face, Faces, Model, Verification
from facegate_client.service import face_service_pb2 as pb
from facegate_client.service.results import Embedding, Enrolment, Identification, Match, Person


def read_verification(answer: pb.VerifyResponse, *, anti_spoofing: bool) -> Verification:
    """Raises ServerFault, as all of these."""
    is_real_1, score_1 = _liveness(answer, "_1", anti_spoofing)
    is_real_2, score_2 = _liveness(answer, "_2", anti_spoofing)
    return Verification(
        verified=answer.verified,
        distance=answer.distance,
        threshold=answer.threshold,
        confidence=answer.confidence,
        box_1=_box(answer.box_1),
        box_2=_box(answer.box_2),
        is_real_1=is_real_1,
        antispoof_score_1=score_1,
        is_real_2=is_real_2,
        antispoof_score_2=score_2,
        processing_time_ms=answer.processing_time_ms,
        face_count_1=_face_count(answer, "face_count_1"),
        face_count_2=_face_count(answer, "face_count_2"),
        model=_model(answer.model),
    )


def read_faces(answer: pb.AnalyzeResponse | pb.DetectResponse, *, anti_spoofing: bool, embeddings: bool) -> Faces:
    """Every face, the best-detected first."""
    faces = _faces(answer.faces, anti_spoofing=anti_spoofing, embeddings=embeddings)
    face_count = _face_count(answer) if isinstance(answer, pb.AnalyzeResponse) else None
    return Faces(faces, _model(answer.model), face_count)


def read_embedding(answer: pb.EmbedResponse) -> Embedding:
    """One face's."""
    values = np.array(answer.embedding, np.float32)
    return Embedding(values, _box(answer.box), answer.score, _model(answer.model), _face_count(answer))


def read_person(message: pb.Person) -> Person:
    """Someone who is remembered."""
    registered_at = message.registered_at.ToDatetime(timezone.utc)
    return Person(message.id, message.name, dict(message.labels), registered_at, message.photos)


def read_enrolment(answer: pb.EnrollResponse, *, anti_spoofing: bool) -> Enrolment:
    """The person and their faces; with liveness asked for, a face that is not live breaks the contract."""
    faces = Faces(_faces(answer.faces, anti_spoofing=anti_spoofing, embeddings=False), _model(answer.model))
    if anti_spoofing and not all(face.is_real for face in faces):
        raise ServerFault("enrolled although a face is not live")
    return Enrolment(read_person(answer.person), faces, tuple(answer.face_counts) or None)


def read_identification(answer: pb.IdentifyResponse, *, anti_spoofing: bool) -> Identification:
    """Whose face it is."""
    is_real, score = _liveness(answer, "", anti_spoofing)
    return Identification(
        matches=tuple(
            Match(read_person(each.person), each.distance, each.confidence, each.match) for each in answer.matches
        ),
        ambiguous=answer.ambiguous,
        box=_box(answer.box),
        score=answer.score,
        threshold=answer.threshold,
        model=_model(answer.model),
        is_real=is_real,
        antispoof_score=score,
        face_count=_face_count(answer),
    )


def _faces(messages: Iterable[pb.Face], *, anti_spoofing: bool, embeddings: bool) -> list[Face]:
    faces = []
    for message in messages:
        if bool(message.embedding) != embeddings:
            raise ServerFault(f"the answer {'lacks' if embeddings else 'has'} an embedding")
        is_real, score = _liveness(message, "", anti_spoofing)
        faces.append(
            Face(
                box=_box(message.box),
                score=message.score,
                landmarks=tuple((point.x, point.y) for point in message.landmarks),
                embedding=np.array(message.embedding, np.float32) if embeddings else None,
                is_real=is_real,
                antispoof_score=score,
            )
        )
    return faces


def _face_count(message: Any, name: str = "face_count") -> int | None:
    """None where the gateway does not say, as one of before this field."""
    return getattr(message, name) if message.HasField(name) else None


def _liveness(message: Any, suffix: str, asked_for: bool) -> tuple[bool | None, float | None]:
    names = f"is_real{suffix}", f"antispoof_score{suffix}"
    for name in names:
        if message.HasField(name) != asked_for:
            had = "lacks" if asked_for else "has"
            raise ServerFault(f"the answer {had} {name}, but anti_spoofing was {'' if asked_for else 'not '}asked for")
    return (getattr(message, names[0]), getattr(message, names[1])) if asked_for else (None, None)


def _box(box: pb.Box) -> Box:
    return box.x1, box.y1, box.x2, box.y2


def _model(model: pb.Model) -> Model:
    if not model.embedding_digest:
        raise ServerFault("the answer does not say which model gave it")
    return Model(
        pack=model.pack,
        licence=model.licence,
        commercial_use=model.commercial_use,
        digest=model.digest,
        embedding_digest=model.embedding_digest,
        precision=model.precision,
        threshold=model.threshold,
    )
