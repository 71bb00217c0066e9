"""From results to what REST answers."""

from __future__ import annotations

from datetime import datetime, timezone

from facegate.gateway.faces import Enrolment, Identification, Match, OneFace
from facegate.gateway.gallery import Person
from facegate.gateway.rest.answers import (
    AnalyzeAnswer,
    AnalyzedFace,
    Area,
    Detection,
    DetectionAnswer,
    EmbedAnswer,
    IdentifyAnswer,
    Liveness,
    MatchAnswer,
    PersonAnswer,
    RegisterAnswer,
    VerifyAnswer,
)
from facegate_client.results import Box, Face, Faces, Verification


def verified(verdict: Verification) -> VerifyAnswer:
    answer = VerifyAnswer(
        verified=verdict.verified,
        distance=verdict.distance,
        threshold=verdict.threshold,
        confidence=verdict.confidence,
        model=verdict.model.pack,
        img1_area=_area(verdict.box_1),
        img2_area=_area(verdict.box_2),
        processing_time_ms=verdict.processing_time_ms,
    )
    if verdict.face_count_1 is not None:
        answer["img1_face_count"] = verdict.face_count_1
    if verdict.face_count_2 is not None:
        answer["img2_face_count"] = verdict.face_count_2
    if verdict.is_real_1 is not None and verdict.antispoof_score_1 is not None:
        answer["img1_is_real"] = verdict.is_real_1
        answer["img1_antispoof_score"] = verdict.antispoof_score_1
    if verdict.is_real_2 is not None and verdict.antispoof_score_2 is not None:
        answer["img2_is_real"] = verdict.is_real_2
        answer["img2_antispoof_score"] = verdict.antispoof_score_2
    return answer


def analyzed(faces: Faces) -> AnalyzeAnswer:
    answer = AnalyzeAnswer(faces=[_face(face) for face in faces], model=faces.model.pack)
    if faces.face_count is not None:
        answer["face_count"] = faces.face_count
    return answer


def embedded(result: OneFace) -> EmbedAnswer:
    values = [] if result.face.embedding is None else result.face.embedding.tolist()
    return EmbedAnswer(
        embedding=values,
        dim=len(values),
        face_count=result.face_count,
        model=result.model.pack,
        embedding_digest=result.model.embedding_digest,
    )


def registered(enrolment: Enrolment) -> RegisterAnswer:
    person = enrolment.person
    return RegisterAnswer(
        id=person.id,
        name=person.name,
        registered_at=_time(person.registered_at),
        face_count=enrolment.face_counts[0],
        **_liveness(enrolment.faces[0]),
    )


def identified(found: Identification) -> IdentifyAnswer:
    return IdentifyAnswer(
        matches=[_match(match) for match in found.matches],
        ambiguous=found.ambiguous,
        threshold=found.threshold,
        face=_area(found.face.box),
        face_count=found.face_count,
        model=found.model.pack,
        **_liveness(found.face),
    )


def person_of(person: Person) -> PersonAnswer:
    return PersonAnswer(
        id=person.id,
        name=person.name,
        labels=dict(person.labels),
        registered_at=_time(person.registered_at),
        photos=person.photos,
    )


def detected(faces: Faces) -> DetectionAnswer:
    return DetectionAnswer(detections=[_detection(face) for face in faces])


def _face(face: Face) -> AnalyzedFace:
    return AnalyzedFace(
        region=_area(face.box),
        face_confidence=face.score,
        landmarks=[list(point) for point in face.landmarks],
        **_liveness(face),
    )


def _liveness(face: Face) -> Liveness:
    """Absent where it was not checked."""
    if face.is_real is None or face.antispoof_score is None:
        return Liveness()
    return Liveness(is_real=face.is_real, antispoof_score=face.antispoof_score)


def _match(match: Match) -> MatchAnswer:
    return MatchAnswer(
        id=match.person.id,
        name=match.person.name,
        labels=dict(match.person.labels),
        distance=match.distance,
        confidence=match.confidence,
        match=match.match,
    )


def _detection(face: Face) -> Detection:
    x1, y1, x2, y2 = face.box
    return Detection(x=x1, y=y1, width=x2 - x1, height=y2 - y1, confidence=face.score, class_name="face")


def _area(box: Box) -> Area:
    x1, y1, x2, y2 = box
    return Area(x=x1, y=y1, w=x2 - x1, h=y2 - y1)


def _time(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
