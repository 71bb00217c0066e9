"""A fault of ours: its caller is told an incident's number, the server's log has the rest."""

from __future__ import annotations

import contextlib
import secrets
import sys
import traceback


def incident(model: str) -> str:
    """Log the exception that is being handled; returns the line for the caller, without the code's name."""
    number = secrets.token_hex(4)
    log(f"{model}: incident {number}\n{traceback.format_exc()}")
    return f"a fault in {model}; the server's log has incident {number}"


def log(text: str) -> None:
    """Into the server's log, which nothing may fail over."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
