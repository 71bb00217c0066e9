"""What every wire of the gateway offers, said once: a request's values in, a result out, by Triton and the gallery."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from facegate.gateway.checks import (
    check_id,
    check_liveness_policy,
    check_model_threshold,
    check_page,
    check_person,
    check_photos,
    check_search,
    check_several_faces,
    check_threshold,
)
from facegate.gateway.errors import RETRY_S, Code, GatewayError, invalid
from facegate.gateway.gallery import Gallery, Origin, Person
from facegate.gateway.gallery.records import unit
from facegate_client import contract
from facegate_client.contract import SeveralFaces
from facegate_client.errors import InvalidRequest, ServerFault
from facegate_client.requests import Request, analysis, verification
from facegate_client.results import Face, Faces, Model, Verification
from facegate_client.transport.base import AsyncTransport
from facegate_ensemble.policy import UNRESTRICTED, Policy

ENROLL_CALLS = 4
"""Calls to Triton under way for all enrollments of the gateway together: a request is admitted as one and has up to 16
photos, and on two cores Triton works on four requests at a time (its `permits`). Measured in docs/gateway.md."""

Image = bytes | NDArray[np.uint8]
"""A file's bytes, or pixels uint8 [height, width, 3] BGR. Never a path: what a caller names is never opened."""

Result = TypeVar("Result")
Inferred = TypeVar("Inferred", Faces, Verification)
Observe = Callable[[Faces | Verification], None]


@dataclass(frozen=True, slots=True)
class OneFace:
    """The face of an image that counts, the number of faces in the image, and the models that found them."""

    face: Face
    face_count: int
    model: Model


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A person as they are remembered now, and the face and the number of faces of each photo, in the photos' order."""

    person: Person
    faces: Faces
    face_counts: tuple[int, ...]


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
    face_count: int
    threshold: float
    model: Model


class FaceGateway:
    """Raises FaceGateErrors and GatewayErrors; `timeout_s` is how long the caller waits for the whole answer.

    `several_faces`, a value of SeveralFaces, selects the face of an image that shows more than one. Where it is None,
    `verify` and `embed` take the best, `identify` takes the largest, so that a bystander does not block a turnstile,
    and `enroll` refuses the image.

    A request that `policy` forbids is INVALID_ARGUMENT, before any work. `observe` is called with each result of
    Triton, once it is read and valid.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        gallery: Gallery,
        policy: Policy = UNRESTRICTED,
        observe: Observe = lambda result: None,
    ) -> None:
        self._transport, self._policy, self._observe = transport, policy, observe
        self._enrolling = asyncio.Semaphore(ENROLL_CALLS)
        self.gallery = gallery

    async def verify(
        self,
        image_1: Image,
        image_2: Image,
        *,
        threshold: float | None,
        anti_spoofing: bool,
        several_faces: str | None = None,
        timeout_s: float,
    ) -> Verification:
        """Do two images show one person? With `anti_spoofing`, only where both faces are live.

        `threshold` is a distance, 1 - cosine, over 0 and at most 2; the pack's own where None. Raises NoFace, and
        LivenessUnavailable where the check was asked for and cannot run.
        """
        check_liveness_policy(self._policy, anti_spoofing)
        check_threshold(self._policy, threshold)
        chosen = check_several_faces(several_faces) or SeveralFaces.BEST  # Triton's own default may be another
        request = verification(image_1, image_2, threshold=threshold, anti_spoofing=anti_spoofing, several_faces=chosen)
        result = await self._ask(request, timeout_s)
        check_model_threshold(self._policy, result.model.threshold if threshold is None else threshold)
        return result

    async def analyze(
        self,
        image: Image,
        *,
        anti_spoofing: bool,
        embeddings: bool,
        min_score: float | None = None,
        max_faces: int | None = None,
        several_faces: str | None = None,
        timeout_s: float,
    ) -> Faces:
        """Every face of an image, the best-detected first; with `several_faces` one of them. None is no error.

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
            several_faces=check_several_faces(several_faces),
        )
        return await self._ask(request, timeout_s)

    async def embed(self, image: Image, *, several_faces: str | None = None, timeout_s: float) -> OneFace:
        """One face, with its embedding. Raises GatewayError NOT_FOUND."""
        chosen = check_several_faces(several_faces) or SeveralFaces.BEST
        return await self._one_face(image, "image", chosen, anti_spoofing=False, timeout_s=timeout_s)

    async def enroll(
        self,
        images: Sequence[Image],
        *,
        name: str,
        labels: Mapping[str, str],
        anti_spoofing: bool,
        person_id: str,
        several_faces: str | None = None,
        timeout_s: float,
    ) -> Enrolment:
        """Remember a new person, or with `person_id` more photos of a known one: all photos or none.

        With `anti_spoofing` a face that is not live is refused (NOT_LIVE).
        """
        check_liveness_policy(self._policy, anti_spoofing)
        check_person(name, labels, person_id)
        check_photos(len(images))
        chosen = check_several_faces(several_faces) or SeveralFaces.REFUSE

        async def one_face(image: Image, field: str) -> OneFace:
            async with self._enrolling:
                return await self._one_face(image, field, chosen, anti_spoofing=anti_spoofing, timeout_s=timeout_s)

        found = await _all_or_first_error(one_face(image, f"images[{index}]") for index, image in enumerate(images))
        for index, each in enumerate(found):
            if anti_spoofing and each.face.is_real is not True:
                raise GatewayError(Code.NOT_LIVE, f"images[{index}]: its face is not live", f"images[{index}]")
        model = found[0].model
        if any(each.model.embedding_digest != model.embedding_digest for each in found):
            raise GatewayError(Code.UNAVAILABLE, "the nets were just changed; try again", retry_after_s=RETRY_S)
        embeddings = np.stack([_embedding(each.face) for each in found])
        if person_id:
            person = await self.gallery.add_photos(person_id, embeddings, _origin(model))
        else:
            person = await self.gallery.enroll(name, labels, embeddings, _origin(model))
        counts = tuple(each.face_count for each in found)
        return Enrolment(person, Faces([each.face for each in found], model), counts)

    async def identify(
        self,
        image: Image,
        *,
        anti_spoofing: bool,
        top_k: int,
        threshold: float | None,
        margin: float,
        several_faces: str | None = None,
        timeout_s: float,
    ) -> Identification:
        """The `top_k` nearest people of one face of an image.

        A person matches whose distance is under `threshold` (the pack's own where None). With a `margin`, only the
        first can match, and only where the second person is at least so much farther away; of two who are equally near
        neither matches whatever the margin. Raises GatewayError.
        """
        check_liveness_policy(self._policy, anti_spoofing)
        check_threshold(self._policy, threshold)
        check_search(top_k, margin)
        chosen = check_several_faces(several_faces) or SeveralFaces.LARGEST
        one = await self._one_face(image, "image", chosen, anti_spoofing=anti_spoofing, timeout_s=timeout_s)
        face, model = one.face, one.model
        limit = model.threshold if threshold is None else threshold
        check_model_threshold(self._policy, limit)
        if anti_spoofing and face.is_real is not True:
            return Identification((), False, face, one.face_count, limit, model)
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
        return Identification(matches, ambiguous, face, one.face_count, limit, model)

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

    async def _one_face(
        self, image: Image, field: str, several_faces: SeveralFaces, *, anti_spoofing: bool, timeout_s: float
    ) -> OneFace:
        try:
            faces = await self.analyze(
                image, anti_spoofing=anti_spoofing, embeddings=True, several_faces=several_faces, timeout_s=timeout_s
            )
        except InvalidRequest as error:
            raise invalid(field, str(error).removeprefix("IMAGE: ").removeprefix("FRAME: ")) from error
        if not faces:
            raise GatewayError(Code.NOT_FOUND, f"no face in {field}", field)
        if faces.face_count is None:
            raise ServerFault(f"the answer lacks {contract.FACE_COUNT}")
        return OneFace(faces[0], faces.face_count, faces.model)

    async def _ask(self, request: Request[Inferred], timeout_s: float) -> Inferred:
        result = request.read(await self._transport.infer(request.call, timeout_s))
        self._observe(result)
        return result


def _embedding(face: Face) -> NDArray[np.float32]:
    if face.embedding is None:
        raise ServerFault("the answer's face has no embedding")
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
