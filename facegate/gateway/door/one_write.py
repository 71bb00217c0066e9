"""An answer's head and body leave as one: uvicorn writes them one by one, each a system call and a packet."""

from __future__ import annotations

import asyncio
from typing import Any


class OneWrite:
    """An asyncio.Transport that holds what is written until more is, or the event loop comes round."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held = b""

    def write(self, data: bytes) -> None:
        """See asyncio.WriteTransport."""
        held, self._held = self._held, b""
        if held:
            self._transport.write(held + data)
        elif data:
            self._held = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """See asyncio.BaseTransport: what was written is still sent."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)
