"""REST described by OpenAPI 3.0, which is what the bundled Swagger UI shows; every answer that can come is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter

from facegate.gateway.door.rest_errors import DETECTION
from facegate.gateway.errors import Code
from facegate.gateway.rest import answers, requests
from facegate.gateway.rest.endpoints import Endpoints
from facegate.gateway.rest.examples import ANSWERS, ASKED, MEANINGS
from facegate.gateway.rest.header_value import FORM, JSON
from facegate_client import __version__

OPENAPI_PATH = "/openapi.json"

_SCHEMAS = "#/components/schemas/{model}"
_ALWAYS = (
    Code.INVALID_ARGUMENT,
    Code.UNAUTHENTICATED,
    Code.PERMISSION_DENIED,
    Code.PAYLOAD_TOO_LARGE,
    Code.RESOURCE_EXHAUSTED,
    Code.INTERNAL,
    Code.UNAVAILABLE,
    Code.DEADLINE_EXCEEDED,
)
_ABOUT = (
    "Face verification that a photo of a face cannot pass. Pictures are base64, data URIs, or files of a multipart "
    "form with the same field names. A liveness field is in an answer only where liveness was asked for: absent means "
    "not checked, false means fake; a check that cannot run is 412, never an answer."
)


@dataclass(frozen=True, slots=True)
class Operation:
    """`name` is the method of Endpoints; `codes` are the failures that not every operation has."""

    name: str
    method: str
    path: str
    asked: type[BaseModel]
    answer: Any
    codes: tuple[Code, ...] = ()


OPERATIONS = (
    Operation(
        "verify",
        "POST",
        "/v1/face/verify",
        requests.VerifyRequest,
        answers.VerifyAnswer,
        (Code.NOT_FOUND, Code.FAILED_PRECONDITION),
    ),
    Operation(
        "analyze",
        "POST",
        "/v1/face/analyze",
        requests.AnalyzeRequest,
        answers.AnalyzeAnswer,
        (Code.FAILED_PRECONDITION,),
    ),
    Operation("embed", "POST", "/v1/face/embed", requests.EmbedRequest, answers.EmbedAnswer, (Code.NOT_FOUND,)),
    Operation(
        "register",
        "POST",
        "/v1/face/register",
        requests.RegisterRequest,
        answers.RegisterAnswer,
        (Code.NOT_FOUND, Code.FAILED_PRECONDITION, Code.NOT_LIVE),
    ),
    Operation(
        "identify",
        "POST",
        "/v1/face/identify",
        requests.IdentifyRequest,
        answers.IdentifyAnswer,
        (Code.NOT_FOUND, Code.FAILED_PRECONDITION),
    ),
    Operation("forget", "POST", "/v1/face/forget", requests.ForgetRequest, None, (Code.NOT_FOUND,)),
    Operation("people", "GET", "/v1/face/people", requests.PeopleQuery, answers.PeopleAnswer),
    Operation("detect", "POST", DETECTION, requests.DetectionRequest, answers.DetectionAnswer),
)


def document() -> dict[str, Any]:
    """The description, JSON-ready."""
    schemas = _schemas()
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schemas)
    return {
        "openapi": "3.0.3",
        "info": {"title": "FaceGate", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "security": [{"bearer": []}, {"key": []}],
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if name != requests.PeopleQuery.__name__},
            "responses": {code.name: _failure(code) for code in MEANINGS},
            "headers": {
                "RequestId": {"description": "In the log it stands with the request.", "schema": {"type": "string"}},
                "RetryAfter": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A key, where the gateway has keys."},
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The same."},
            },
        },
    }


def _described(operation: Operation, schemas: Mapping[str, Any]) -> dict[str, Any]:
    said = getattr(Endpoints, operation.name).__doc__
    codes = (*_ALWAYS, *operation.codes, *([Code.UNSUPPORTED_MEDIA_TYPE] if operation.method == "POST" else []))
    failures = {str(code.http): {"$ref": f"#/components/responses/{code.name}"} for code in codes}
    described = {
        "operationId": operation.name,
        "summary": said,
        "responses": {**_answered(operation), **dict(sorted(failures.items()))},
    }
    schema = schemas[operation.asked.__name__]
    if operation.method == "GET":
        described["parameters"] = [
            {"name": name, "in": "query", "schema": each} for name, each in schema["properties"].items()
        ]
        return described
    json_content = {"schema": _reference(operation.asked.__name__), "example": ASKED[operation.name]}
    form = {"schema": _as_form(schema)}
    return {**described, "requestBody": {"required": True, "content": {JSON: json_content, FORM: form}}}


def _answered(operation: Operation) -> dict[str, Any]:
    if operation.answer is None:
        return {"204": {"description": "Done.", "headers": _headers()}}
    content = {"schema": _reference(operation.answer.__name__), "examples": ANSWERS[operation.name]}
    return {"200": {"description": "The answer.", "headers": _headers(), "content": {JSON: content}}}


def _failure(code: Code) -> dict[str, Any]:
    example = {"error": {"code": code.name, "message": MEANINGS[code], "request_id": "5f0c1f6c2b7d4e11"}}
    return {
        "description": MEANINGS[code],
        "headers": _headers("RetryAfter") if code.http in (429, 503) else _headers(),
        "content": {JSON: {"schema": _reference(answers.ErrorAnswer.__name__), "example": example}},
    }


def _headers(*others: str) -> dict[str, Any]:
    names = {"RequestId": "X-Request-Id", "RetryAfter": "Retry-After"}
    return {names[each]: {"$ref": f"#/components/headers/{each}"} for each in ("RequestId", *others)}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _SCHEMAS.format(model=name)}


def _schemas() -> dict[str, Any]:
    kinds = [kind for each in OPERATIONS for kind in (each.asked, each.answer) if kind is not None]
    wanted = [(kind.__name__, "validation", TypeAdapter(kind)) for kind in (*kinds, answers.ErrorAnswer)]
    _, made = TypeAdapter.json_schemas(wanted, ref_template=_SCHEMAS)  # type: ignore[arg-type]
    return {name: _plain(schema) for name, schema in made["$defs"].items()}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Without titles that repeat names, and without a null as the default of what may be left out."""
    kept = {key: value for key, value in schema.items() if key != "title" and (key, value) != ("default", None)}
    if "properties" in kept:
        kept["properties"] = {name: _plain(each) for name, each in kept["properties"].items()}
    return kept


def _as_form(schema: dict[str, Any]) -> dict[str, Any]:
    """The same fields, and pictures are files."""
    file = {"type": "string", "format": "binary"}
    pictures = {name: file for name, each in schema["properties"].items() if each.get("format") == "byte"}
    return {**schema, "properties": {**schema["properties"], **pictures}}
