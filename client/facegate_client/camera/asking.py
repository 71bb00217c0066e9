"""One camera's calls to the server: what is asked again, what is given up, and how long to rest between."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from facegate_client.async_client import AsyncFaceClient
from facegate_client.camera.gate import Gate
from facegate_client.camera.mailbox import Mode
from facegate_client.camera.server_notices import ServerNotices
from facegate_client.errors import DeadlineExceeded, Overloaded, Unreachable
from facegate_client.images import ImageLike
from facegate_client.results import Faces

PASSING = Overloaded, Unreachable, DeadlineExceeded
"""What another try may mend: the server is full, away or slow."""


class Asker:
    """Asks for one camera. In the mode `every` a call is made until it is answered, or until `stop`.

    In the mode `latest` a frame that was refused is old by then, and given up. Either way the camera rests after a
    refusal, longer with each, so that a server that is full or starting is not run over.
    """

    def __init__(self, camera: str, mode: Mode, client: AsyncFaceClient, gate: Gate, notices: ServerNotices) -> None:
        self._camera = camera
        self._persists = mode is Mode.every
        self._client = client
        self._gate = gate
        self._notices = notices
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Nothing is asked again from now on."""
        self._stopping.set()

    async def analyze(self, image: ImageLike, **options: Any) -> Faces:
        """AsyncFaceClient.analyze's answer. Raises FaceGateError; of those that may pass, it has told."""
        while True:
            try:
                faces = await self._client.analyze(image, **options)
            except PASSING as error:
                self._notices.failed(self._camera, error)
                await self._rest(self._gate.refused())
                if not self._persists or self._stopping.is_set():
                    raise
            else:
                self._gate.answered()
                self._notices.answered()
                return faces

    def give_up(self, error: Exception) -> None:
        """Tells of a frame that has no result, where `analyze` has not."""
        if not isinstance(error, PASSING):
            self._notices.failed(self._camera, error)

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
