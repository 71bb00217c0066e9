"""One camera's calls to the server: what is asked again, what is given up, and how long to rest between."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
from numpy.typing import NDArray

from facegate.cameras.gate import Gate
from facegate.cameras.mailbox import Mode
from facegate.cameras.server_notices import ServerNotices
from facegate_client.async_client import AsyncFaceClient
from facegate_client.errors import DeadlineExceeded, Overloaded, Unreachable
from facegate_client.images import ImageLike
from facegate_client.results import Faces

PASSING = Overloaded, Unreachable, DeadlineExceeded
"""What another try may mend: the server is full, away or slow."""


LATE_TRIES = 10
"""Of one frame, in the mode `every`, with no answer in time: more than a server that hangs needs to be replaced, and
the end for a frame that takes longer than the time-out however often it is sent."""


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

    async def begin(self) -> None:
        """Waits for a permit, which a frame holds until `end`."""
        await self._gate.acquire()

    def end(self) -> None:
        """Gives a frame's permit back."""
        self._gate.release()

    def stop(self) -> None:
        """Nothing is asked again from now on."""
        self._stopping.set()

    async def analyze(
        self,
        image: ImageLike,
        *,
        anti_spoofing: bool,
        embeddings: bool,
        min_score: float | None = None,
        faces: NDArray[np.float32] | None = None,
    ) -> Faces:
        """AsyncFaceClient.analyze's answer. Raises FaceGateError; of those that may pass, it has told."""
        late = 0
        while True:
            try:
                answer = await self._client.analyze(
                    image, anti_spoofing=anti_spoofing, embeddings=embeddings, min_score=min_score, faces=faces
                )
            except PASSING as error:
                self._notices.failed(self._camera, error)
                late += isinstance(error, DeadlineExceeded)
                await self._rest(self._gate.refused())
                if not self._persists or late >= LATE_TRIES or self._stopping.is_set():
                    raise
            else:
                self._gate.answered()
                self._notices.answered()
                return answer

    def give_up(self, error: Exception) -> None:
        """Tells of a frame that has no result, where `analyze` has not."""
        if not isinstance(error, PASSING):
            self._notices.failed(self._camera, error)

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
