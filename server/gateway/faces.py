"""What every wire of the gateway offers, said once: a request's values in, a result out, by Triton and the gallery."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.errors import FaceGateError, InvalidRequest, ServerFault
from facegate_client.requests import Request, analysis, verification
from facegate_client.results import Face, Faces, Model, Verification
from facegate_client.transport import AsyncTransport
from server.gateway.checks import check_id, check_page, check_person, check_photos, check_search
from server.gateway.errors import RETRY_S, Code, GatewayError, invalid
from server.gateway.gallery import Gallery, Origin, Person
from server.gateway.gallery.records import unit

Image = bytes | NDArray[np.uint8]
"""A file's bytes, or pixels uint8 [height, width, 3] BGR. Never a path: what a caller names is never opened."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A person as they are remembered now, and the face of each photo, in the photos' order."""

    person: Person
    faces: Faces


@dataclass(frozen=True, slots=True)
class Match:
    """A person, how near they are, and whether they are meant. `confidence` is 0-100, as a verification's."""

    person: Person
    distance: float
    confidence: float
    match: bool


@dataclass(frozen=True, slots=True)
class Identification:
    """Whose face it is. `matches` is empty where liveness was asked for and the face is not live.

    `ambiguous`: the first two people are within the margin of each other, so that neither matches.
    """

    matches: tuple[Match, ...]
    ambiguous: bool
    face: Face
    threshold: float
    model: Model


class FaceGateway:
    """Raises FaceGateErrors and GatewayErrors; `timeout_s` is how long the caller waits for the whole answer."""

    def __init__(self, transport: AsyncTransport, gallery: Gallery) -> None:
        self._transport = transport
        self.gallery = gallery

    async def verify(
        self, image_1: Image, image_2: Image, *, threshold: float | None, anti_spoofing: bool, timeout_s: float
    ) -> Verification:
        """Do two images show one person? With `anti_spoofing`, only where both faces are live.

        `threshold` is a distance, 1 - cosine, over 0 and at most 2; the pack's own where None. Raises NoFace, and
        LivenessUnavailable where the check was asked for and cannot run.
        """
        request = verification(image_1, image_2, threshold=threshold, anti_spoofing=anti_spoofing)
        return await self._ask(request, timeout_s)

    async def analyze(
        self,
        image: Image,
        *,
        anti_spoofing: bool,
        embeddings: bool,
        min_score: float | None = None,
        max_faces: int | None = None,
        timeout_s: float,
    ) -> Faces:
        """Every face of an image, the best-detected first; none is no error.

        `min_score` is the detector's, 0-1, the pack's own where None; `max_faces` is 1-1024, 256 where None. Embeddings
        are float32 [D], L2-normalised. Raises LivenessUnavailable where the check was asked for and cannot run.
        """
        request = analysis(
            image,
            anti_spoofing=anti_spoofing,
            embeddings=embeddings,
            min_score=min_score,
            max_faces=max_faces,
            faces=None,
        )
        return await self._ask(request, timeout_s)

    async def embed(self, image: Image, *, timeout_s: float) -> tuple[Face, Model]:
        """The best-detected face, with its embedding. Raises GatewayError NOT_FOUND."""
        return await self._best_face(image, "image", anti_spoofing=False, timeout_s=timeout_s)

    async def enroll(
        self,
        images: Sequence[Image],
        *,
        name: str,
        labels: Mapping[str, str],
        anti_spoofing: bool,
        person_id: str,
        timeout_s: float,
    ) -> Enrolment:
        """Remember a new person, or with `person_id` more photos of a known one: all photos or none.

        With `anti_spoofing` a face that is not live is refused (NOT_LIVE).
        """
        check_person(name, labels, person_id)
        check_photos(len(images))
        asked = (
            self._best_face(image, f"images[{index}]", anti_spoofing=anti_spoofing, timeout_s=timeout_s)
            for index, image in enumerate(images)
        )
        found = await _all_or_first_error(asked)
        for index, (face, _) in enumerate(found):
            if anti_spoofing and face.is_real is not True:
                raise GatewayError(Code.NOT_LIVE, f"images[{index}]: its face is not live", f"images[{index}]")
        model = found[0][1]
        if any(other.embedding_digest != model.embedding_digest for _, other in found):
            raise GatewayError(Code.UNAVAILABLE, "the nets were just changed; try again", retry_after_s=RETRY_S)
        embeddings = np.stack([_embedding(face) for face, _ in found])
        if person_id:
            person = await self.gallery.add_photos(person_id, embeddings, _origin(model))
        else:
            person = await self.gallery.enroll(name, labels, embeddings, _origin(model))
        return Enrolment(person, Faces([face for face, _ in found], model))

    async def identify(
        self,
        image: Image,
        *,
        anti_spoofing: bool,
        top_k: int,
        threshold: float | None,
        margin: float,
        timeout_s: float,
    ) -> Identification:
        """The `top_k` nearest people of an image's best-detected face.

        A person matches whose distance is under `threshold` (the pack's own where None). With a `margin`, only the
        first can match, and only where the second person is at least so much farther away; of two who are equally near
        neither matches whatever the margin. Raises GatewayError.
        """
        check_search(top_k, threshold, margin)
        face, model = await self._best_face(image, "image", anti_spoofing=anti_spoofing, timeout_s=timeout_s)
        limit = model.threshold if threshold is None else threshold
        if anti_spoofing and face.is_real is not True:
            return Identification((), False, face, limit, model)
        near = await self.gallery.search(_embedding(face), _origin(model), max(top_k, 2))
        meant = [each.distance < limit for each in near]
        ahead = near[1].distance - near[0].distance if len(near) > 1 else 2.0
        ambiguous = any(meant[:1]) and (ahead < margin or ahead == 0.0)
        matches = tuple(
            Match(
                each.person,
                each.distance,
                confidence=min(max((1.0 - each.distance / limit) * 100.0, 0.0), 100.0),
                match=meant[rank] and not ambiguous and (rank == 0 or margin == 0),
            )
            for rank, each in enumerate(near[:top_k])
        )
        return Identification(matches, ambiguous, face, limit, model)

    async def forget(self, person_id: str) -> None:
        """Delete a person for good. Raises GatewayError NOT_FOUND for one who is not there."""
        check_id(person_id)
        await self.gallery.forget(person_id)

    async def people(self, *, after: str, count: int) -> tuple[Sequence[Person], bool]:
        """At most `count` people of an id greater than `after`, in the order of their ids, and whether more follow."""
        check_page(after, count)
        found = await self.gallery.people(after, count + 1)
        return found[:count], len(found) > count

    async def model(self, *, timeout_s: float) -> Model:
        """The nets that answer now."""
        black = np.zeros((32, 32, 3), np.uint8)
        faces = await self.analyze(black, anti_spoofing=False, embeddings=False, timeout_s=timeout_s)
        return faces.model

    async def is_ready(self, *, timeout_s: float) -> bool:
        """Whether Triton takes requests and the gallery answers."""
        try:
            asked = (self._transport.is_model_ready(model, timeout_s) for model in contract.MODELS)
            return all(await asyncio.gather(*asked)) and await self.gallery.is_ready()
        except (FaceGateError, GatewayError):
            return False

    async def _best_face(
        self, image: Image, field: str, *, anti_spoofing: bool, timeout_s: float
    ) -> tuple[Face, Model]:
        try:
            faces = await self.analyze(
                image, anti_spoofing=anti_spoofing, embeddings=True, max_faces=1, timeout_s=timeout_s
            )
        except InvalidRequest as error:
            raise invalid(field, str(error).removeprefix("IMAGE: ")) from error
        if not faces:
            raise GatewayError(Code.NOT_FOUND, f"no face in {field}", field)
        return faces[0], faces.model

    async def _ask(self, request: Request[Result], timeout_s: float) -> Result:
        return request.read(await self._transport.infer(request.call, timeout_s))


def _embedding(face: Face) -> NDArray[np.float32]:
    if face.embedding is None or not abs(float(np.linalg.norm(face.embedding)) - 1.0) <= 1e-2:  # NaN fails
        raise ServerFault("the answer's best face has no embedding of length one")
    return unit(face.embedding)


def _origin(model: Model) -> Origin:
    return Origin(model.pack, model.embedding_digest)


async def _all_or_first_error(asked: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Every result in order. The first error, or a cancellation, ends the others too."""
    tasks = [asyncio.ensure_future(each) for each in asked]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
