"""From a request to what it asks: from its body, or where it has none from its address, and never from both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from facegate.gateway.errors import Code, Failure, GatewayError, Violation
from facegate.gateway.rest import form_body, header_value, json_body
from facegate.gateway.rest.header_value import FORM, JSON

LARGE = 1 << 20
"""Bytes that are read in a thread, so that the others' answers do not wait for them: of fewer, 2 ms."""

Asked = TypeVar("Asked", bound=BaseModel)
_MOST_VIOLATIONS = 8
_MOST_OF_A_NAME = 60
_EXPECTED = {
    "missing": "is missing",
    "bool_type": "expected true or false",
    "dict_type": "expected an object",
    "finite_number": "expected a number",
    "float_type": "expected a number",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "expected a whole number",
    "int_type": "expected a whole number",
    "list_type": "expected a list",
    "string_type": "expected text",
}
"""By pydantic's names for what is wrong; other names are this server's own, and have its words."""


async def read(request: Request, kind: type[Asked]) -> Asked:
    """What the body asks. Raises GatewayError INVALID_ARGUMENT or UNSUPPORTED_MEDIA_TYPE."""
    if request.query_params:  # an anti_spoofing there would ask for no check
        raise _Refusal({_printable(name): "goes into the body, not into the address" for name in request.query_params})
    media, boundary = _content_type(request.headers.getlist("content-type"))
    body = await request.body()
    if len(body) < LARGE:
        return _parsed(body, media, boundary, kind)
    return await asyncio.to_thread(_parsed, body, media, boundary, kind)


def query(request: Request, kind: type[Asked]) -> Asked:
    """What the address asks. Raises GatewayError INVALID_ARGUMENT."""
    given = request.query_params
    twice = [name for name in given if len(given.getlist(name)) > 1]
    if twice:
        raise _Refusal({_printable(name): "is in the address twice" for name in twice})
    return checked(dict(given), kind)


def _content_type(headers: list[str]) -> tuple[str, bytes]:
    """The type, which is JSON or FORM, and a form's boundary."""
    try:
        media, options = header_value.parse(headers[0] if headers else "")
    except ValueError as error:
        raise GatewayError(Code.INVALID_ARGUMENT, f"Content-Type {error}") from None
    if media not in (JSON, FORM):
        raise GatewayError(Code.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: expected {JSON} or {FORM}")
    if len(headers) > 1:
        raise GatewayError(Code.INVALID_ARGUMENT, "Content-Type is there twice")
    boundary = options.get("boundary", "").encode("latin-1")
    if media == FORM and not boundary:
        raise GatewayError(Code.INVALID_ARGUMENT, f"Content-Type: {FORM} without its boundary")
    return media, boundary


def _parsed(body: bytes, media: str, boundary: bytes, kind: type[Asked]) -> Asked:
    return checked(form_body.fields(body, boundary) if media == FORM else json_body.loads(body), kind)


def checked(values: Any, kind: type[Asked]) -> Asked:
    """`values` as a request of this kind. Raises GatewayError INVALID_ARGUMENT with each field that is wrong."""
    if not isinstance(values, dict):
        raise GatewayError(Code.INVALID_ARGUMENT, "expected a JSON object")
    unknown = [_printable(name) for name in values if name not in kind.model_fields]
    if unknown:
        raise _Refusal(dict.fromkeys(unknown, "there is no such field"))
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _refusal(error) from None


class _Refusal(GatewayError):
    def __init__(self, wrong: Mapping[str, str]) -> None:
        violations = tuple(Violation(name, why) for name, why in list(wrong.items())[:_MOST_VIOLATIONS])
        message = "; ".join(f"{each.field}: {each.description}" for each in violations)
        super().__init__(Code.INVALID_ARGUMENT, message)
        self.failure = Failure(Code.INVALID_ARGUMENT, message, violations)


def _refusal(error: ValidationError) -> GatewayError:
    """Names and reasons, never what was sent."""
    wrong: dict[str, str] = {}
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        field, *inside = each["loc"]
        said = _EXPECTED.get(each["type"], each["msg"])
        wrong.setdefault(str(field), f"{said} inside" if inside else said)
    return _Refusal(wrong)


def _printable(name: str) -> str:
    """A field's name as the caller wrote it, where that is no trouble for a log, a header or UTF-8."""
    return name[:_MOST_OF_A_NAME].encode("ascii", "backslashreplace").decode()
