"""What each address of REST does: the gateway is asked, and its result written down."""

from __future__ import annotations

import asyncio

from facegate.gateway.checks import TOP_K
from facegate.gateway.errors import invalid
from facegate.gateway.faces import FaceGateway
from facegate.gateway.paging import last_id_of, page_token
from facegate.gateway.pictures import from_base64, is_address
from facegate.gateway.rest import writing
from facegate.gateway.rest.answers import (
    AnalyzeAnswer,
    DetectionAnswer,
    EmbedAnswer,
    IdentifyAnswer,
    PeopleAnswer,
    RegisterAnswer,
    VerifyAnswer,
)
from facegate.gateway.rest.bodies import LARGE
from facegate.gateway.rest.requests import (
    AnalyzeRequest,
    DetectionRequest,
    EmbedRequest,
    ForgetRequest,
    IdentifyRequest,
    PeopleQuery,
    RegisterRequest,
    VerifyRequest,
)
from facegate.gateway.urls import UrlFetcher
from facegate_client import contract

_SWITCHED_OFF = "addresses are not opened here unless the gateway is started with --image-host; send the picture itself"


class Endpoints:
    """Raises FaceGateErrors and GatewayErrors. `timeout_s` is Triton's; `urls` is None where none are opened."""

    def __init__(self, faces: FaceGateway, timeout_s: float, urls: UrlFetcher | None) -> None:
        self._faces, self._timeout_s, self._urls = faces, timeout_s, urls

    async def verify(self, asked: VerifyRequest) -> VerifyAnswer:
        """Do two pictures show one person? With `anti_spoofing`, only where both faces are live."""
        verdict = await self._faces.verify(
            await self._picture(asked.img1, "img1"),
            await self._picture(asked.img2, "img2"),
            threshold=asked.threshold,
            anti_spoofing=asked.anti_spoofing,
            several_faces=asked.several_faces,
            timeout_s=self._timeout_s,
        )
        return writing.verified(verdict)

    async def analyze(self, asked: AnalyzeRequest) -> AnalyzeAnswer:
        """Every face of a picture, the best-detected first, or with `several_faces` one of them; none is no error."""
        faces = await self._faces.analyze(
            await self._picture(asked.img, "img"),
            anti_spoofing=asked.anti_spoofing,
            embeddings=False,
            several_faces=asked.several_faces,
            timeout_s=self._timeout_s,
        )
        return writing.analyzed(faces)

    async def embed(self, asked: EmbedRequest) -> EmbedAnswer:
        """The embedding of one face of a picture, L2-normalised."""
        found = await self._faces.embed(
            await self._picture(asked.img, "img"), several_faces=asked.several_faces, timeout_s=self._timeout_s
        )
        return writing.embedded(found)

    async def register(self, asked: RegisterRequest) -> RegisterAnswer:
        """Remember a person by a picture of their face, or with `id` one more picture of a person who is known."""
        enrolment = await self._faces.enroll(
            [await self._picture(asked.img, "img")],
            name=asked.name or "",
            labels=asked.labels or {},
            anti_spoofing=asked.anti_spoofing,
            person_id=asked.id or "",
            several_faces=asked.several_faces,
            timeout_s=self._timeout_s,
        )
        return writing.registered(enrolment)

    async def identify(self, asked: IdentifyRequest) -> IdentifyAnswer:
        """Whose face is this? The nearest people; none where liveness was asked for and the face is not live."""
        found = await self._faces.identify(
            await self._picture(asked.img, "img"),
            anti_spoofing=asked.anti_spoofing,
            top_k=TOP_K if asked.top_k is None else asked.top_k,
            threshold=asked.threshold,
            margin=asked.margin or 0.0,
            several_faces=asked.several_faces,
            timeout_s=self._timeout_s,
        )
        return writing.identified(found)

    async def forget(self, asked: ForgetRequest) -> None:
        """Delete a person, and every embedding of theirs, for good."""
        if not asked.id:
            raise invalid("id", "expected the id of a person")
        await self._faces.forget(asked.id)

    async def people(self, asked: PeopleQuery) -> PeopleAnswer:
        """Who is remembered, in the order of their ids, a page at a time."""
        page, more = await self._faces.people(after=last_id_of(asked.page_token), count=asked.page_size)
        return PeopleAnswer(
            people=[writing.person_of(person) for person in page],
            next_page_token=page_token(page[-1].id) if more else "",
        )

    async def detect(self, asked: DetectionRequest) -> DetectionAnswer:
        """Where the faces of a picture are; `threshold` is the lowest detection score."""
        faces = await self._faces.analyze(
            await self._picture(asked.image, "image"),
            anti_spoofing=False,
            embeddings=False,
            min_score=asked.threshold,
            timeout_s=self._timeout_s,
        )
        return writing.detected(faces)

    async def _picture(self, picture: str | bytes, field: str) -> bytes:
        if isinstance(picture, bytes):
            if not 0 < len(picture) <= contract.MAX_IMAGE_BYTES:
                limit = f"is larger than the limit of {contract.MAX_IMAGE_BYTES // 2**20} MiB"
                raise invalid(field, limit if picture else "is empty")
            return picture
        if is_address(picture):
            if self._urls is None:
                raise invalid(field, _SWITCHED_OFF)
            return await self._urls.fetch(picture, field)
        if len(picture) < LARGE:
            return from_base64(picture, field)
        return await asyncio.to_thread(from_base64, picture, field)
