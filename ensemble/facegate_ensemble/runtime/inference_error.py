"""A net that does not do what it is asked, in one line."""

from __future__ import annotations

ONE_AT_A_TIME = "; if it takes one picture at a time, say max_batch = 1 in its table"
"""What a user can do about a net that fails on a batch."""


class NetFault(RuntimeError):
    """A net that does not do what it is asked. `str()` is one line that begins with its name."""

    @classmethod
    def run(cls, net: str, rows: int, error: Exception) -> NetFault:
        """That `net` failed on a batch of `rows`."""
        return cls(f"{net}: cannot be run on a batch of {rows}: {reason(error)}{ONE_AT_A_TIME if rows > 1 else ''}")


def reason(error: BaseException) -> str:
    """The first line of what an exception says, at most 300 characters, or its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
