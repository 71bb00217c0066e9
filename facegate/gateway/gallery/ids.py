"""Names for people."""

from __future__ import annotations

import secrets
import time


def new_id() -> str:
    """A UUID of version 7 (RFC 9562) as 32 hexadecimal digits: later ones are greater, and none can be guessed."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    head = milliseconds << 16 | 0x7000 | (rest << 12) // 1_000_000
    tail = 0b10 << 62 | secrets.randbits(62)
    return f"{head << 64 | tail:032x}"
