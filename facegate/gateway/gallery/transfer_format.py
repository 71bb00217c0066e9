"""People as JSON Lines: what export writes and import reads. docs/gallery.md describes it."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime, timezone
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from facegate.errors import ServeError
from facegate.gateway.checks import MOST_LABEL, MOST_LABELS, MOST_NAME, is_plain
from facegate.gateway.gallery import Origin
from facegate.gateway.gallery.records import Photo, Record, are_unit, checksum, unit


def _printable(text: str) -> str:
    if not is_plain(text):
        raise ValueError("control characters")
    return text


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:
        raise ValueError("no such moment") from None


def _decoded(text: object) -> bytes:
    try:
        vector = base64.b64decode(text if isinstance(text, str) else b"", validate=True)
    except binascii.Error:
        vector = b""
    if not vector or len(vector) % 4 or not are_unit(np.frombuffer(vector, "<f4")[np.newaxis]):
        raise ValueError("not base64 of little-endian float32 values of length one")
    return vector


_Key = Annotated[str, Field(min_length=1, max_length=MOST_LABEL), AfterValidator(_printable)]
_Label = Annotated[str, Field(max_length=MOST_LABEL), AfterValidator(_printable)]
_Moment = Annotated[AwareDatetime, AfterValidator(_utc)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Head(_Line):
    """The first line."""

    format: Literal["facegate-gallery"] = "facegate-gallery"
    version: Literal[1, 2] = 2
    """Version 1 is that of FaceGate 0.1, which had no checksums and refuses version 2."""


class PhotoLine(_Line):
    """A photo of a person's line."""

    pack: _Key
    embedding_digest: _Key
    created_at: _Moment
    vector: Annotated[bytes, BeforeValidator(_decoded)]
    checksum: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class PersonLine(_Line):
    """A person."""

    id: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
    name: Annotated[str, Field(min_length=1, max_length=MOST_NAME), AfterValidator(_printable)]
    labels: Annotated[dict[_Key, _Label], Field(max_length=MOST_LABELS)]
    registered_at: _Moment
    photos: list[PhotoLine]

    @model_validator(mode="after")
    def _check(self) -> PersonLine:
        for number, photo in enumerate(self.photos):
            found = checksum(self.id, photo.embedding_digest, photo.vector).hex()
            if photo.checksum not in (None, found):
                raise ValueError(f"photos.{number} is damaged: its checksum does not match; export again")
        return self

    def record(self) -> Record:
        """The person as a store has them."""
        photos = (
            Photo(Origin(each.pack, each.embedding_digest), each.created_at, unit(np.frombuffer(each.vector, "<f4")))
            for each in self.photos
        )
        return Record(self.id, self.name, self.labels, self.registered_at, tuple(photos))


class Tail(_Line):
    """The last line; a file without it was cut off."""

    people: int
    photos: int


Line = TypeVar("Line", bound=_Line)


def parse(kind: type[Line], line: bytes, where: str) -> Line:
    """A line of this kind. Raises ServeError that says where what is wrong, and holds nothing of an embedding."""
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ServeError(f"{where}: {field + ': ' if field else ''}{first['msg']}") from None


def person_line(record: Record) -> str:
    """A person's line, without its end."""
    photos = [
        {
            "pack": photo.origin.pack,
            "embedding_digest": photo.origin.embedding_digest,
            "created_at": photo.created_at.isoformat(),
            "vector": base64.b64encode(vector).decode(),
            "checksum": checksum(record.id, photo.origin.embedding_digest, vector).hex(),
        }
        for photo in record.photos
        for vector in [photo.vector.astype("<f4").tobytes()]
    ]
    head = {"id": record.id, "name": record.name, "labels": dict(record.labels)}
    return json.dumps({**head, "registered_at": record.registered_at.isoformat(), "photos": photos}, ensure_ascii=False)
