"""What REST answers. A key that is NotRequired is there only where its check was requested: never null."""

from __future__ import annotations

from typing import Annotated

from pydantic import WithJsonSchema
from typing_extensions import NotRequired, TypedDict

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class Area(TypedDict):
    """A box in pixels of the upright image: its left and upper edge, width and height."""

    x: float
    y: float
    w: float
    h: float


class VerifyAnswer(TypedDict):
    verified: bool
    distance: float
    threshold: float
    confidence: float
    model: str
    img1_area: Area
    img2_area: Area
    img1_face_count: NotRequired[int]
    img2_face_count: NotRequired[int]
    processing_time_ms: float
    img1_is_real: NotRequired[bool]
    img1_antispoof_score: NotRequired[float]
    img2_is_real: NotRequired[bool]
    img2_antispoof_score: NotRequired[float]


class Liveness(TypedDict):
    is_real: NotRequired[bool]
    antispoof_score: NotRequired[float]


class AnalyzedFace(Liveness):
    region: Area
    face_confidence: float
    landmarks: list[list[float]]


class AnalyzeAnswer(TypedDict):
    faces: list[AnalyzedFace]
    model: str
    face_count: NotRequired[int]


class EmbedAnswer(TypedDict):
    """Embeddings may be compared where `embedding_digest` is the same, and nowhere else."""

    embedding: list[float]
    dim: int
    face_count: int
    model: str
    embedding_digest: str


class RegisterAnswer(Liveness):
    id: str
    name: str
    registered_at: Time
    face_count: int


class MatchAnswer(TypedDict):
    id: str
    name: str
    labels: dict[str, str]
    distance: float
    confidence: float
    match: bool


class IdentifyAnswer(Liveness):
    matches: list[MatchAnswer]
    ambiguous: bool
    threshold: float
    face: Area
    face_count: int
    model: str


class PersonAnswer(TypedDict):
    id: str
    name: str
    labels: dict[str, str]
    registered_at: Time
    photos: int


class PeopleAnswer(TypedDict):
    people: list[PersonAnswer]
    next_page_token: str


class Detection(TypedDict):
    x: float
    y: float
    width: float
    height: float
    confidence: float
    class_name: str


class DetectionAnswer(TypedDict):
    detections: list[Detection]


class Field(TypedDict):
    field: str
    description: str


class Failure(TypedDict):
    """`code` is for programs and stays what it is; `message` is for people."""

    code: str
    message: str
    request_id: str
    fields: NotRequired[list[Field]]


class ErrorAnswer(TypedDict):
    error: Failure
