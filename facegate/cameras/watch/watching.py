"""The watch of a run: loaded at its start, and anew when the server comes back with other nets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from facegate.cameras.sighting import Sighting
from facegate.cameras.watch.people import People, WatchError, load
from facegate.cameras.watch.watch import Watch
from facegate_client.async_client import AsyncFaceClient
from facegate_client.errors import FaceGateError

AGAIN_S = 5.0
"""Between two tries to load the references anew. Until one succeeds nobody is recognised."""

SAY_S = 60.0
"""A trouble that lasts is told of as often as this."""


class Watching:
    """Keeps `watch` comparable with what the server answers."""

    def __init__(
        self,
        client: AsyncFaceClient,
        photos: Sequence[Path],
        *,
        anti_spoofing: bool,
        threshold: float | None,
        say: Callable[[str], None],
    ) -> None:
        self._client = client
        self._photos = photos
        self._anti_spoofing = anti_spoofing
        self._threshold = threshold
        self._say = say
        self._loading = asyncio.Lock()
        self._tried_at = self._said_at = float("-inf")
        self.watch: Watch

    async def start(self) -> None:
        """Loads the references. Raises WatchError and FaceGateError."""
        self.watch = Watch(await self._load())

    async def keep(self, sightings: Sequence[Sighting]) -> None:
        """Loads them anew where `sightings` are described by other nets."""
        if not any(self._is_stale(sighting) for sighting in sightings):
            return
        async with self._loading:
            if time.monotonic() - self._tried_at < AGAIN_S:
                return
            self._tried_at = time.monotonic()
            try:
                self.watch.renew(await self._load())
            except (WatchError, FaceGateError) as error:
                self._complain(error)

    def _complain(self, error: Exception) -> None:
        if time.monotonic() - self._said_at >= SAY_S:
            self._said_at = time.monotonic()
            self._say(f"the people to watch for cannot be loaded anew: {error}; nobody is recognised")

    def _is_stale(self, sighting: Sighting) -> bool:
        return sighting.embedding_digest is not None and self.watch.stale(sighting.embedding_digest)

    async def _load(self) -> People:
        return await load(
            self._client, self._photos, anti_spoofing=self._anti_spoofing, threshold=self._threshold, say=self._say
        )
