"""JSON as strict as a security switch needs it: no key twice, no NaN, and no more values than any request has."""

from __future__ import annotations

import json
from typing import Any

from facegate.gateway.errors import Code, GatewayError

MOST_COMMAS = 50_000
"""More than any request has, its labels' own included: 27 MiB of "0,0,0," would take half a second and a gigabyte."""

MOST_DIGITS = 1000
"""Of a whole number, and more than any request has: Python before 3.10.7 reads 27 MiB of digits too, for minutes."""


def loads(text: bytes | str) -> Any:
    """The value; raises GatewayError INVALID_ARGUMENT."""
    try:
        if isinstance(text, bytes):
            text = text.decode()
        if text.count(",") > MOST_COMMAS:
            raise ValueError("has more values than any request")
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise GatewayError(Code.INVALID_ARGUMENT, "the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise GatewayError(Code.INVALID_ARGUMENT, f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise GatewayError(Code.INVALID_ARGUMENT, "not JSON that this server reads: nested too deeply") from None
    except ValueError as error:
        raise GatewayError(Code.INVALID_ARGUMENT, f"not JSON that this server reads: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has a key twice")
    if not all(map(_is_text, made)):
        raise ValueError("an object has a key with half a character")
    return made


def _is_text(name: str) -> bool:
    """JSON can write half of a surrogate pair, which UTF-8 cannot."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"has a number of more than {MOST_DIGITS} digits")
    return int(digits)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
