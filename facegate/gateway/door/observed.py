"""Triton and the gallery as the gateway sees them: the same, and what they do is timed and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facegate.gateway.door import calls
from facegate.gateway.door.metrics import GALLERY, TRITON, Metrics
from facegate.gateway.gallery import Embeddings, Gallery, Neighbour, Origin, Person
from facegate_client.results import Faces, Verification
from facegate_client.transport.base import Answer, Regions, ServerTransport
from facegate_client.transport.base import Call as Inference
from facegate_ensemble.counts import DIFFERENT, FAKE, REAL, VERIFIED, VETOED
from facegate_ensemble.stage_timers import stage


class ObservedTransport:
    """A ServerTransport."""

    def __init__(self, transport: ServerTransport, metrics: Metrics) -> None:
        self._transport, self._metrics = transport, metrics

    @property
    def regions(self) -> Regions | None:
        """See ServerTransport."""
        return self._transport.regions

    async def infer(self, call: Inference, timeout_s: float) -> Answer:
        """See ServerTransport."""
        with stage(TRITON), self._metrics.at_triton.track_inprogress():
            return await self._transport.infer(call, timeout_s)

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        """See ServerTransport."""
        return await self._transport.is_model_ready(model, timeout_s)

    async def model_parameters(self, model: str, timeout_s: float) -> Mapping[str, str]:
        """See ServerTransport."""
        return await self._transport.model_parameters(model, timeout_s)

    async def close(self) -> None:
        """See ServerTransport."""
        await self._transport.close()


class ObservedResults:
    """Adds results to `metrics` and to the log's line about the call.

    Only valid results are counted: a malformed answer is an error, not a verdict.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, result: Faces | Verification) -> None:
        if isinstance(result, Verification):
            verdict = VETOED if result.not_live else VERIFIED if result.verified else DIFFERENT
            checks, found = [result.is_real_1, result.is_real_2], {"faces": 2, verdict: 1}
            self._metrics.verifications.labels(verdict).inc()
        else:
            checks, found = [face.is_real for face in result], {"faces": len(result)}
        for label, is_real in ((REAL, True), (FAKE, False)):
            found[label] = checks.count(is_real)
            self._metrics.liveness.labels(label).inc(found[label])
        if (call := calls.current()) is not None:
            for name, count in found.items():
                if count:
                    call.found(name, count)


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
