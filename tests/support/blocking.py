"""What is made for an event loop, with plain calls, so that one test is put to both kinds."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any


class Blocking:
    """`made` on an event loop of its own: each of its coroutine methods is a plain one that waits."""

    def __init__(self, made: Any) -> None:
        self._made = made
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._made, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        def wait(*arguments: Any, **options: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(attribute(*arguments, **options), self._loop).result()

        return wait

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
