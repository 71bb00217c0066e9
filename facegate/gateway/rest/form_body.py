"""multipart/form-data from memory: a picture of a person is never written to a temporary file.

Every byte of a form is a field's, a header's or a boundary's. What other readers skip (RFC 2046's text before and after
the form), or choose from (a header or a name twice), is refused: an anti_spoofing there would ask for no check.
"""

from __future__ import annotations

import codecs
import re
from typing import Any

from facegate.gateway.errors import Code, GatewayError, invalid
from facegate.gateway.rest import header_value, json_body
from facegate.gateway.rest.header_value import JSON, NAME
from facegate.gateway.rest.requests import AS_TEXT

MOST_PARTS = 16
"""More than any request has fields."""

MOST_HEAD = 8192
"""Bytes of a part's headers, a file's long name among them."""

_HEADER = re.compile(rf"({NAME}):([^\x00-\x08\x0a-\x1f\x7f]*)")
_FILE = {"filename", "filename*"}
_ABOUT_A_FILE = {"size", "creation-date", "modification-date", "read-date"}  # RFC 2183: Java's Jersey says them
_CHARSETS = {"utf-8", "ascii", "iso8859-1"}
"""As Python's codecs call them."""

_AS_IT_IS = {"7bit", "8bit", "binary"}


def fields(body: bytes, boundary: bytes) -> dict[str, Any]:
    """The form's fields: a file as bytes, text as str, and what is neither picture nor text from its JSON.

    Raises GatewayError INVALID_ARGUMENT.
    """
    made: dict[str, Any] = {}
    for part in _parts(body, boundary):
        name, value = _read(part)
        if name in made:
            raise invalid(name, "is in the form twice")
        made[name] = value
    return made


def _parts(body: bytes, boundary: bytes) -> list[bytes]:
    """What is between the boundaries, each with the line's end that a boundary has."""
    delimiter = b"\r\n--" + boundary
    body = body.lstrip(b"\r\n")
    if not body:
        raise _refusal("the form is cut off: it is empty")
    if not body.startswith(delimiter[2:]):
        raise _refusal("the body is not the form that Content-Type says it is, from its first boundary on")
    *parts, end = body.split(delimiter, MOST_PARTS + 1)
    if len(parts) > MOST_PARTS:
        raise _refusal(f"the form has more than {MOST_PARTS} parts")
    if not parts or not end.startswith(b"--"):
        raise _refusal("the form is cut off: its last boundary is missing")
    parts[0] = parts[0][len(delimiter) - 2 :]
    if end[2:].strip(b" \t\r\n") or any(part.startswith(b"--") for part in parts):
        raise _refusal("the form goes on after its last boundary")
    return parts


def _read(part: bytes) -> tuple[str, Any]:
    head, blank, content = part.partition(b"\r\n\r\n")
    if not blank or not head.startswith(b"\r\n") or len(head) > MOST_HEAD:
        raise _refusal("the body is not the form that Content-Type says it is: a part is not headers and content")
    headers = _headers(head[2:].decode("latin-1"))
    name, is_file = _name(headers.get("content-disposition", ""))
    if headers.get("content-transfer-encoding", "binary").strip(" \t").lower() not in _AS_IT_IS:
        raise invalid(name, "is encoded; a form has what it has as it is, without Content-Transfer-Encoding")
    media, options = _parsed("Content-Type", headers.get("content-type", "text/plain"))
    if media != JSON and (is_file or not media.startswith("text/")):
        return name, content
    text = _text(content, options.get("charset", "utf-8").lower(), name)
    return name, text if media != JSON and name in AS_TEXT else _value(text, name)


def _headers(head: str) -> dict[str, str]:
    made: dict[str, str] = {}
    for line in head.split("\r\n"):
        header = _HEADER.fullmatch(line)
        if header is None:
            raise _refusal("a part of the form has a header that cannot be read")
        name = header[1].lower()
        if name in made:
            raise _refusal("a part of the form has a header twice")
        made[name] = header[2]
    return made


def _name(disposition: str) -> tuple[str, bool]:
    """A field's name, and whether it is a file."""
    kind, options = _parsed("Content-Disposition", disposition)
    name = options.pop("name", "").encode("ascii", "backslashreplace").decode()
    if kind != "form-data" or not name:
        raise _refusal('a part of the form has no name: expected Content-Disposition: form-data; name="..."')
    if not set(options) <= _FILE | _ABOUT_A_FILE:  # name* is another name to some
        raise _refusal("a part of the form has more in its Content-Disposition than a name and a filename")
    return name, not _FILE.isdisjoint(options)


def _parsed(header: str, value: str) -> tuple[str, dict[str, str]]:
    try:
        return header_value.parse(value)
    except ValueError as error:
        raise _refusal(f"{header} of a part of the form {error}") from None


def _text(content: bytes, charset: str, name: str) -> str:
    try:
        known = codecs.lookup(charset).name in _CHARSETS
    except (LookupError, ValueError):  # of no such name, or none that a name can be
        known = False
    if not known:
        raise invalid(name, "has a charset that is not read here; send UTF-8")
    try:
        return content.decode(charset)
    except UnicodeDecodeError:
        raise invalid(name, f"is not {charset.upper()}; a file needs a filename in its Content-Disposition") from None


def _value(text: str, name: str) -> Any:
    try:
        return json_body.loads(text)
    except GatewayError as error:
        raise invalid(name, f"expected JSON (true, 0.4, {{...}}): {error}") from None


def _refusal(message: str) -> GatewayError:
    return GatewayError(Code.INVALID_ARGUMENT, message)
