"""What a message holds and nobody would read. protobuf lets it pass: with it a check that the caller asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet

from server.gateway.errors import invalid


def refuse_unread(message: Any, *, later_fields: bool = False) -> None:
    """Raises GatewayError INVALID_ARGUMENT for a field that is not known, here or in a message inside.

    With `later_fields` only for a known one that came as another type: the caller's schema is known to say more.
    """
    for path, part in _parts("", message):
        for unread in UnknownFieldSet(part):  # type: ignore[attr-defined]  # the stub knows only its older way
            number = unread.field_number
            field = part.DESCRIPTOR.fields_by_number.get(number)
            if field is not None:
                raise invalid(path + field.name, f"field {number} did not come as the type that it is of")
            if not later_fields:
                raise invalid(f"{path}{number}", f"{part.DESCRIPTOR.name} has no field {number} here")


def _parts(path: str, message: Any) -> Iterator[tuple[str, Any]]:
    """The message and those inside it, but for maps' entries, with what their fields' names begin with."""
    yield path, message
    for field in message.DESCRIPTOR.fields:
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        inside = getattr(message, field.name)
        if not field.is_repeated:
            yield from _parts(f"{path}{field.name}.", inside)
            continue
        for index, each in enumerate(inside):
            yield from _parts(f"{path}{field.name}[{index}].", each)
