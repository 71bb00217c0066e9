import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Image(_message.Message):
    __slots__ = ("encoded", "frame")
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    encoded: bytes
    frame: Frame
    def __init__(self, encoded: _Optional[bytes] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("bgr", "height", "width")
    BGR_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    bgr: bytes
    height: int
    width: int
    def __init__(self, bgr: _Optional[bytes] = ..., height: _Optional[int] = ..., width: _Optional[int] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x1", "y1", "x2", "y2")
    X1_FIELD_NUMBER: _ClassVar[int]
    Y1_FIELD_NUMBER: _ClassVar[int]
    X2_FIELD_NUMBER: _ClassVar[int]
    Y2_FIELD_NUMBER: _ClassVar[int]
    x1: float
    y1: float
    x2: float
    y2: float
    def __init__(self, x1: _Optional[float] = ..., y1: _Optional[float] = ..., x2: _Optional[float] = ..., y2: _Optional[float] = ...) -> None: ...

class Point(_message.Message):
    __slots__ = ("x", "y")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("pack", "licence", "commercial_use", "digest", "embedding_digest", "precision", "threshold")
    PACK_FIELD_NUMBER: _ClassVar[int]
    LICENCE_FIELD_NUMBER: _ClassVar[int]
    COMMERCIAL_USE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    pack: str
    licence: str
    commercial_use: bool
    digest: str
    embedding_digest: str
    precision: str
    threshold: float
    def __init__(self, pack: _Optional[str] = ..., licence: _Optional[str] = ..., commercial_use: _Optional[bool] = ..., digest: _Optional[str] = ..., embedding_digest: _Optional[str] = ..., precision: _Optional[str] = ..., threshold: _Optional[float] = ...) -> None: ...

class Face(_message.Message):
    __slots__ = ("box", "score", "landmarks", "embedding", "is_real", "antispoof_score")
    BOX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LANDMARKS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    IS_REAL_FIELD_NUMBER: _ClassVar[int]
    ANTISPOOF_SCORE_FIELD_NUMBER: _ClassVar[int]
    box: Box
    score: float
    landmarks: _containers.RepeatedCompositeFieldContainer[Point]
    embedding: _containers.RepeatedScalarFieldContainer[float]
    is_real: bool
    antispoof_score: float
    def __init__(self, box: _Optional[_Union[Box, _Mapping]] = ..., score: _Optional[float] = ..., landmarks: _Optional[_Iterable[_Union[Point, _Mapping]]] = ..., embedding: _Optional[_Iterable[float]] = ..., is_real: _Optional[bool] = ..., antispoof_score: _Optional[float] = ...) -> None: ...

class VerifyRequest(_message.Message):
    __slots__ = ("image_1", "image_2", "threshold", "anti_spoofing", "several_faces")
    IMAGE_1_FIELD_NUMBER: _ClassVar[int]
    IMAGE_2_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    ANTI_SPOOFING_FIELD_NUMBER: _ClassVar[int]
    SEVERAL_FACES_FIELD_NUMBER: _ClassVar[int]
    image_1: Image
    image_2: Image
    threshold: float
    anti_spoofing: bool
    several_faces: str
    def __init__(self, image_1: _Optional[_Union[Image, _Mapping]] = ..., image_2: _Optional[_Union[Image, _Mapping]] = ..., threshold: _Optional[float] = ..., anti_spoofing: _Optional[bool] = ..., several_faces: _Optional[str] = ...) -> None: ...

class VerifyResponse(_message.Message):
    __slots__ = ("verified", "distance", "threshold", "confidence", "box_1", "box_2", "is_real_1", "antispoof_score_1", "is_real_2", "antispoof_score_2", "processing_time_ms", "model", "face_count_1", "face_count_2")
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    BOX_1_FIELD_NUMBER: _ClassVar[int]
    BOX_2_FIELD_NUMBER: _ClassVar[int]
    IS_REAL_1_FIELD_NUMBER: _ClassVar[int]
    ANTISPOOF_SCORE_1_FIELD_NUMBER: _ClassVar[int]
    IS_REAL_2_FIELD_NUMBER: _ClassVar[int]
    ANTISPOOF_SCORE_2_FIELD_NUMBER: _ClassVar[int]
    PROCESSING_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FACE_COUNT_1_FIELD_NUMBER: _ClassVar[int]
    FACE_COUNT_2_FIELD_NUMBER: _ClassVar[int]
    verified: bool
    distance: float
    threshold: float
    confidence: float
    box_1: Box
    box_2: Box
    is_real_1: bool
    antispoof_score_1: float
    is_real_2: bool
    antispoof_score_2: float
    processing_time_ms: float
    model: Model
    face_count_1: int
    face_count_2: int
    def __init__(self, verified: _Optional[bool] = ..., distance: _Optional[float] = ..., threshold: _Optional[float] = ..., confidence: _Optional[float] = ..., box_1: _Optional[_Union[Box, _Mapping]] = ..., box_2: _Optional[_Union[Box, _Mapping]] = ..., is_real_1: _Optional[bool] = ..., antispoof_score_1: _Optional[float] = ..., is_real_2: _Optional[bool] = ..., antispoof_score_2: _Optional[float] = ..., processing_time_ms: _Optional[float] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., face_count_1: _Optional[int] = ..., face_count_2: _Optional[int] = ...) -> None: ...

class AnalyzeRequest(_message.Message):
    __slots__ = ("image", "anti_spoofing", "with_embeddings", "min_score", "max_faces", "several_faces")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    ANTI_SPOOFING_FIELD_NUMBER: _ClassVar[int]
    WITH_EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    MAX_FACES_FIELD_NUMBER: _ClassVar[int]
    SEVERAL_FACES_FIELD_NUMBER: _ClassVar[int]
    image: Image
    anti_spoofing: bool
    with_embeddings: bool
    min_score: float
    max_faces: int
    several_faces: str
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ..., anti_spoofing: _Optional[bool] = ..., with_embeddings: _Optional[bool] = ..., min_score: _Optional[float] = ..., max_faces: _Optional[int] = ..., several_faces: _Optional[str] = ...) -> None: ...

class AnalyzeResponse(_message.Message):
    __slots__ = ("faces", "model", "face_count")
    FACES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FACE_COUNT_FIELD_NUMBER: _ClassVar[int]
    faces: _containers.RepeatedCompositeFieldContainer[Face]
    model: Model
    face_count: int
    def __init__(self, faces: _Optional[_Iterable[_Union[Face, _Mapping]]] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., face_count: _Optional[int] = ...) -> None: ...

class DetectRequest(_message.Message):
    __slots__ = ("image", "min_score", "max_faces")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    MAX_FACES_FIELD_NUMBER: _ClassVar[int]
    image: Image
    min_score: float
    max_faces: int
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ..., min_score: _Optional[float] = ..., max_faces: _Optional[int] = ...) -> None: ...

class DetectResponse(_message.Message):
    __slots__ = ("faces", "model")
    FACES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    faces: _containers.RepeatedCompositeFieldContainer[Face]
    model: Model
    def __init__(self, faces: _Optional[_Iterable[_Union[Face, _Mapping]]] = ..., model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("image", "several_faces")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SEVERAL_FACES_FIELD_NUMBER: _ClassVar[int]
    image: Image
    several_faces: str
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ..., several_faces: _Optional[str] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("embedding", "box", "score", "model", "face_count")
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FACE_COUNT_FIELD_NUMBER: _ClassVar[int]
    embedding: _containers.RepeatedScalarFieldContainer[float]
    box: Box
    score: float
    model: Model
    face_count: int
    def __init__(self, embedding: _Optional[_Iterable[float]] = ..., box: _Optional[_Union[Box, _Mapping]] = ..., score: _Optional[float] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., face_count: _Optional[int] = ...) -> None: ...

class AnalyzeStreamRequest(_message.Message):
    __slots__ = ("id", "request")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    id: str
    request: AnalyzeRequest
    def __init__(self, id: _Optional[str] = ..., request: _Optional[_Union[AnalyzeRequest, _Mapping]] = ...) -> None: ...

class AnalyzeStreamResponse(_message.Message):
    __slots__ = ("id", "response", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    response: AnalyzeResponse
    error: _status_pb2.Status
    def __init__(self, id: _Optional[str] = ..., response: _Optional[_Union[AnalyzeResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Person(_message.Message):
    __slots__ = ("id", "name", "labels", "registered_at", "photos")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_FIELD_NUMBER: _ClassVar[int]
    PHOTOS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    labels: _containers.ScalarMap[str, str]
    registered_at: _timestamp_pb2.Timestamp
    photos: int
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., registered_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., photos: _Optional[int] = ...) -> None: ...

class EnrollRequest(_message.Message):
    __slots__ = ("name", "labels", "images", "anti_spoofing", "person_id", "several_faces")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    ANTI_SPOOFING_FIELD_NUMBER: _ClassVar[int]
    PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    SEVERAL_FACES_FIELD_NUMBER: _ClassVar[int]
    name: str
    labels: _containers.ScalarMap[str, str]
    images: _containers.RepeatedCompositeFieldContainer[Image]
    anti_spoofing: bool
    person_id: str
    several_faces: str
    def __init__(self, name: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., anti_spoofing: _Optional[bool] = ..., person_id: _Optional[str] = ..., several_faces: _Optional[str] = ...) -> None: ...

class EnrollResponse(_message.Message):
    __slots__ = ("person", "faces", "model", "face_counts")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    FACES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FACE_COUNTS_FIELD_NUMBER: _ClassVar[int]
    person: Person
    faces: _containers.RepeatedCompositeFieldContainer[Face]
    model: Model
    face_counts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, person: _Optional[_Union[Person, _Mapping]] = ..., faces: _Optional[_Iterable[_Union[Face, _Mapping]]] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., face_counts: _Optional[_Iterable[int]] = ...) -> None: ...

class IdentifyRequest(_message.Message):
    __slots__ = ("image", "anti_spoofing", "top_k", "threshold", "margin", "several_faces")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    ANTI_SPOOFING_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    SEVERAL_FACES_FIELD_NUMBER: _ClassVar[int]
    image: Image
    anti_spoofing: bool
    top_k: int
    threshold: float
    margin: float
    several_faces: str
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ..., anti_spoofing: _Optional[bool] = ..., top_k: _Optional[int] = ..., threshold: _Optional[float] = ..., margin: _Optional[float] = ..., several_faces: _Optional[str] = ...) -> None: ...

class Match(_message.Message):
    __slots__ = ("person", "distance", "confidence", "match")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    MATCH_FIELD_NUMBER: _ClassVar[int]
    person: Person
    distance: float
    confidence: float
    match: bool
    def __init__(self, person: _Optional[_Union[Person, _Mapping]] = ..., distance: _Optional[float] = ..., confidence: _Optional[float] = ..., match: _Optional[bool] = ...) -> None: ...

class IdentifyResponse(_message.Message):
    __slots__ = ("matches", "ambiguous", "box", "score", "threshold", "is_real", "antispoof_score", "model", "face_count")
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    AMBIGUOUS_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    IS_REAL_FIELD_NUMBER: _ClassVar[int]
    ANTISPOOF_SCORE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FACE_COUNT_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[Match]
    ambiguous: bool
    box: Box
    score: float
    threshold: float
    is_real: bool
    antispoof_score: float
    model: Model
    face_count: int
    def __init__(self, matches: _Optional[_Iterable[_Union[Match, _Mapping]]] = ..., ambiguous: _Optional[bool] = ..., box: _Optional[_Union[Box, _Mapping]] = ..., score: _Optional[float] = ..., threshold: _Optional[float] = ..., is_real: _Optional[bool] = ..., antispoof_score: _Optional[float] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., face_count: _Optional[int] = ...) -> None: ...

class ForgetRequest(_message.Message):
    __slots__ = ("person_id",)
    PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    person_id: str
    def __init__(self, person_id: _Optional[str] = ...) -> None: ...

class ForgetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPeopleRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPeopleResponse(_message.Message):
    __slots__ = ("people", "next_page_token")
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    people: _containers.RepeatedCompositeFieldContainer[Person]
    next_page_token: str
    def __init__(self, people: _Optional[_Iterable[_Union[Person, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
