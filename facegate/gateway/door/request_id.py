"""The id of the request that is being answered: the caller's own where it is harmless, else a new one."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

HEADER = "x-request-id"

_HARMLESS = re.compile(r"[A-Za-z0-9._-]{1,64}")

_current: ContextVar[str] = ContextVar("request_id", default="")


def current() -> str:
    """The id of the request that this task works for; empty outside of one."""
    return _current.get()


def begin(given: str | None) -> str:
    """The id that `current` gives from now on in this context. What a log or a header could misread is not taken."""
    chosen = given if given is not None and _HARMLESS.fullmatch(given) else secrets.token_hex(8)
    _current.set(chosen)
    return chosen
