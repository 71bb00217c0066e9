"""The one exception that becomes an answer: a code of the contract and a line for the caller."""

from __future__ import annotations

from facegate_client.contract import Code


class RequestError(Exception):
    """A request that cannot be answered. `str()` is the wire's message: the code's name, a colon, the reason."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(f"{code.value}: {reason}")
        self.code = code


def invalid(reason: str) -> RequestError:
    """The caller sent something wrong."""
    return RequestError(Code.INVALID_ARGUMENT, reason)
