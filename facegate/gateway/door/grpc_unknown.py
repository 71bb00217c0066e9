"""What a message holds and nobody would read. protobuf skips it: with it a check that the caller asked for.

The bytes are looked at before they are parsed, which for many small fields takes seconds and a gigabyte.
https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from facegate.gateway.errors import Code, GatewayError, invalid

MOST_FIELDS = 1000
"""Of a message and those inside it; an Enroll of 16 frames and 32 labels has under 200."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_WIRE_TYPES = {
    FieldDescriptor.TYPE_DOUBLE: _FIXED64,
    FieldDescriptor.TYPE_FIXED64: _FIXED64,
    FieldDescriptor.TYPE_SFIXED64: _FIXED64,
    FieldDescriptor.TYPE_FLOAT: _FIXED32,
    FieldDescriptor.TYPE_FIXED32: _FIXED32,
    FieldDescriptor.TYPE_SFIXED32: _FIXED32,
    FieldDescriptor.TYPE_STRING: _LENGTH,
    FieldDescriptor.TYPE_BYTES: _LENGTH,
    FieldDescriptor.TYPE_MESSAGE: _LENGTH,
}
"""All others are varints."""

Descriptor = Any  # google.protobuf.descriptor.Descriptor


def refuse_unread(message: bytes, kind: Descriptor, *, later_fields: bool = False) -> None:
    """Raises GatewayError INVALID_ARGUMENT for a field that `kind` has not, has as another type, or has once and is
    there twice, here or in a message inside.

    With `later_fields` those that `kind` has not are let pass: the caller's schema is known to say more.
    """
    _Walk(message, later_fields).through(0, len(message), kind, "")


class _Walk:
    def __init__(self, message: bytes, later_fields: bool) -> None:
        self._message, self._later_fields, self._count = message, later_fields, 0

    def through(self, at: int, end: int, kind: Descriptor, path: str) -> None:
        """The fields between two bytes, which are a message of `kind`; `path` is what their names begin with."""
        seen: dict[int, int] = {}
        while at < end:
            self._count += 1
            if self._count > MOST_FIELDS:
                raise GatewayError(Code.INVALID_ARGUMENT, f"the message has more than {MOST_FIELDS} fields")
            tag, at = self._varint(at, end)
            number, wire_type = tag >> 3, tag & 7
            content, at = self._content(at, end, wire_type)
            field = kind.fields_by_number.get(number)
            if field is None:
                if not self._later_fields:
                    raise invalid(f"{path}{number}", f"{kind.name} has no field {number} here")
                continue
            name, index = path + field.name, seen.get(number, 0)
            seen[number] = index + 1
            if wire_type != _WIRE_TYPES.get(field.type, _VARINT) and not (wire_type == _LENGTH and field.is_packed):
                raise invalid(name, f"field {number} did not come as the type that it is of")
            if index and not field.is_repeated:
                raise invalid(name, "is in the message twice")
            if field.message_type is not None:
                inside = f"{name}[{index}]." if field.is_repeated else f"{name}."
                self.through(content, at, field.message_type, inside)

    def _content(self, at: int, end: int, wire_type: int) -> tuple[int, int]:
        """Where a field's content begins and ends."""
        if wire_type == _VARINT:
            return at, self._varint(at, end)[1]
        if wire_type == _LENGTH:
            length, at = self._varint(at, end)
        else:
            length = _FIXED.get(wire_type, end)  # groups are in none of our messages
        if at + length > end or wire_type not in (_LENGTH, *_FIXED):
            raise _malformed()
        return at, at + length

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for place in range(min(10, end - at)):
            byte = self._message[at + place]
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value, at + place + 1
        raise _malformed()


def _malformed() -> GatewayError:
    return GatewayError(Code.INVALID_ARGUMENT, "the bytes are no message of this method's kind")
