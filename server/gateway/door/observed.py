"""Triton and the gallery as the gateway sees them: the same, and what they do is timed and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ensemble import counts
from ensemble.stages import stage
from facegate_client.transport import Answer, AsyncTransport, Regions
from facegate_client.transport import Call as Inference
from server.gateway.door import calls
from server.gateway.door.metrics import GALLERY, TRITON, Metrics
from server.gateway.gallery import Embeddings, Gallery, Neighbour, Origin, Person


class ObservedTransport:
    """An AsyncTransport."""

    def __init__(self, transport: AsyncTransport, metrics: Metrics) -> None:
        self._transport, self._metrics = transport, metrics

    @property
    def regions(self) -> Regions | None:
        """See AsyncTransport."""
        return self._transport.regions

    async def infer(self, call: Inference, timeout_s: float) -> Answer:
        """See AsyncTransport."""
        with stage(TRITON), self._metrics.at_triton.track_inprogress():
            answer = await self._transport.infer(call, timeout_s)
        self._count(answer)
        return answer

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        """See AsyncTransport."""
        return await self._transport.is_model_ready(model, timeout_s)

    async def close(self) -> None:
        """See AsyncTransport."""
        await self._transport.close()

    def _count(self, answer: Answer) -> None:
        found = counts.counted(counts.OK, answer.outputs)
        logged = calls.current()
        for (name, label), count in found.items():
            if name == counts.LIVENESS and count:
                self._metrics.liveness.labels(label).inc(count)
            elif name == counts.VERIFICATIONS:
                self._metrics.verifications.labels(label).inc(count)
            elif name != counts.FACES:
                continue
            if logged is not None and count:
                logged.found(label or "faces", count)


class ObservedGallery:
    """A Gallery."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    async def enroll(self, name: str, labels: Mapping[str, str], embeddings: Embeddings, origin: Origin) -> Person:
        """See Gallery."""
        with stage(GALLERY):
            return await self._gallery.enroll(name, labels, embeddings, origin)

    async def add_photos(self, person_id: str, embeddings: Embeddings, origin: Origin) -> Person:
        """See Gallery."""
        with stage(GALLERY):
            return await self._gallery.add_photos(person_id, embeddings, origin)

    async def search(self, embedding: NDArray[np.float32], origin: Origin, count: int) -> list[Neighbour]:
        """See Gallery."""
        with stage(GALLERY):
            return await self._gallery.search(embedding, origin, count)

    async def forget(self, person_id: str) -> None:
        """See Gallery."""
        with stage(GALLERY):
            await self._gallery.forget(person_id)

    async def people(self, after: str, count: int) -> Sequence[Person]:
        """See Gallery."""
        with stage(GALLERY):
            return await self._gallery.people(after, count)

    async def is_ready(self) -> bool:
        """See Gallery."""
        return await self._gallery.is_ready()

    async def close(self) -> None:
        """See Gallery."""
        await self._gallery.close()
