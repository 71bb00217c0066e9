"""multipart/form-data from memory: a picture of a person is never written to a temporary file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from server.gateway.errors import Code, GatewayError, invalid
from server.gateway.rest import json_body
from server.gateway.rest.requests import AS_TEXT

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_PARTS = 16
"""More than any request has fields."""


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    content: list[bytes] = field(default_factory=list)


class _Parts:
    """What MultipartParser calls while it reads."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.ended = False
        self._name = self._value = b""

    def on_part_begin(self) -> None:
        if len(self.parts) == MOST_PARTS:
            raise GatewayError(Code.INVALID_ARGUMENT, f"the form has more than {MOST_PARTS} parts")
        self.parts.append(_Part())

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self.parts[-1].headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content.append(data[start:end])

    def on_end(self) -> None:
        self.ended = True


def fields(body: bytes, boundary: bytes) -> dict[str, Any]:
    """The form's fields: a file as bytes, text as str, and what is neither picture nor text from its JSON.

    Raises GatewayError INVALID_ARGUMENT.
    """
    parts = _Parts()
    calls: MultipartCallbacks = {
        "on_part_begin": parts.on_part_begin,
        "on_header_field": parts.on_header_field,
        "on_header_value": parts.on_header_value,
        "on_header_end": parts.on_header_end,
        "on_part_data": parts.on_part_data,
        "on_end": parts.on_end,
    }
    try:
        parser = MultipartParser(boundary, calls)
        parser.write(body)
    except FormParserError:  # its text may repeat what was sent
        raise GatewayError(Code.INVALID_ARGUMENT, "the body is not the form that Content-Type says it is") from None
    if not parts.ended:
        raise GatewayError(Code.INVALID_ARGUMENT, "the form is cut off: its last boundary is missing")
    made: dict[str, Any] = {}
    for part in parts.parts:
        name, value = _read(part)
        if name in made:
            raise invalid(name, "is in the form twice")
        made[name] = value
    return made


def _read(part: _Part) -> tuple[str, Any]:
    _, options = parse_options_header(part.headers.get(b"content-disposition"))
    name = options.get(b"name", b"").decode("ascii", "backslashreplace")
    if not name:
        raise GatewayError(Code.INVALID_ARGUMENT, "a part of the form has no name in its Content-Disposition")
    content = b"".join(part.content)
    if b"filename" in options or part.headers.get(b"content-type", b"text/").partition(b"/")[0].lower() != b"text":
        return name, content
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise invalid(name, "is not UTF-8; a file needs a filename in its Content-Disposition") from None
    return name, text if name in AS_TEXT else _value(text, name)


def _value(text: str, name: str) -> Any:
    try:
        return json_body.loads(text)
    except GatewayError as error:
        raise invalid(name, f"expected JSON (true, 0.4, {{...}}): {error}") from None
