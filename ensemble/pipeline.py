"""The way of an image: detect, crop, recognise and check liveness. Knows nothing of where the nets run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ensemble.alignment import alignable, aligned_crops
from ensemble.detection import Faces, select_faces
from ensemble.errors import RequestError
from ensemble.image import letterbox
from ensemble.inferer import Inferer, infer_in_chunks, together
from ensemble.liveness import Liveness, context_crops, fuse
from ensemble.pack import DETECTOR, RECOGNIZER, LivenessNet, Pack
from ensemble.stages import DETECT, LIVENESS, RECOGNISE, timed
from ensemble.verification import Verdict, check_embeddings, judge
from facegate_client import contract
from facegate_client.contract import Code

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Analysis:
    """The faces of an image. None means "not asked for": embeddings FP32 [N, D], liveness of N faces.

    A face whose landmarks coincide cannot be aligned and has an embedding of zeros.
    """

    faces: Faces
    embeddings: NDArray[np.float32] | None
    liveness: Liveness | None


class Pipeline:
    """Faces from images, by the nets of one pack. Images are UINT8 [H, W, 3] BGR."""

    def __init__(self, pack: Pack, inferer: Inferer) -> None:
        self.pack = pack
        self._inferer = inferer
        self._template = np.array(pack.recognizer.template, dtype=np.float32)

    def require_liveness(self) -> None:
        """Raises RequestError FAILED_PRECONDITION unless every liveness net is served. Call before any work."""
        if self.pack.liveness is None:
            raise RequestError(
                Code.FAILED_PRECONDITION,
                f"anti_spoofing was asked for, but the pack {self.pack.name} has no liveness nets; "
                "serve one that has: facegate serve --pack mobileface",
            )
        missing = [net.name for net in self.pack.liveness_nets if not self._inferer.serves(net.name)]
        if missing:
            raise RequestError(
                Code.FAILED_PRECONDITION,
                f"anti_spoofing was asked for, but {' and '.join(missing)} not served; "
                "restart facegate serve without --without-liveness",
            )

    async def analyze(
        self,
        image: Image,
        *,
        anti_spoofing: bool,
        embeddings: bool,
        min_score: float | None = None,
        max_faces: int = contract.DEFAULT_MAX_FACES,
        faces: Faces | None = None,
    ) -> Analysis:
        """All faces of an image, or what the nets say of `faces`, which are then not detected.

        `min_score` is the lowest detection score, 0-1, the pack's where None; `max_faces` keeps the best. Neither
        applies to `faces`. Raises RequestError FAILED_PRECONDITION when liveness cannot be checked, and RuntimeError
        when a net answers what it cannot mean.
        """
        if anti_spoofing:
            self.require_liveness()
        if faces is None:
            (faces,) = await timed(DETECT, self._detect([image], min_score, max_faces))
        described = await self._describe([(image, faces)], embeddings=embeddings, anti_spoofing=anti_spoofing)
        return Analysis(faces, *described)

    async def verify(
        self, images: Sequence[Image], *, threshold: float | None, anti_spoofing: bool
    ) -> tuple[Verdict, NDArray[np.float32]]:
        """The verdict on two images' best faces, and their boxes FP32 [2, 4], x1 y1 x2 y2 in image pixels.

        `threshold` is a cosine distance in (0, 2], the pack's where None.
        Raises RequestError NOT_FOUND when an image has no face, FAILED_PRECONDITION when liveness cannot be checked.
        """
        if anti_spoofing:
            self.require_liveness()
        found = await timed(DETECT, self._detect(images, None, 1))
        empty = [str(number) for number, faces in enumerate(found, 1) if not len(faces)]
        if empty:
            raise RequestError(Code.NOT_FOUND, f"no face in image {' and image '.join(empty)}")
        pairs = list(zip(images, found, strict=True))
        embeddings, liveness = await self._describe(pairs, embeddings=True, anti_spoofing=anti_spoofing)
        assert embeddings is not None  # noqa: S101 - asked for above
        limit = self.pack.recognizer.threshold if threshold is None else threshold
        return judge(embeddings, limit, liveness), np.concatenate([faces.boxes for faces in found])

    async def _detect(self, images: Sequence[Image], min_score: float | None, max_faces: int) -> list[Faces]:
        net = self.pack.detector
        fitted = await together(*(asyncio.to_thread(letterbox, image, net.height, net.width) for image in images))
        names = (contract.BOXES, contract.SCORES, contract.LANDMARKS)
        batch = np.stack([canvas for canvas, _ in fitted])
        boxes, scores, landmarks = await infer_in_chunks(self._inferer, DETECTOR, batch, names)
        return [
            select_faces(
                boxes[i],
                scores[i],
                landmarks[i],
                factor=factor,
                min_score=net.min_score if min_score is None else min_score,
                nms_iou=net.nms_iou,
                max_faces=max_faces,
            )
            for i, (_, factor) in enumerate(fitted)
        ]

    async def _describe(
        self, pairs: Sequence[tuple[Image, Faces]], *, embeddings: bool, anti_spoofing: bool
    ) -> tuple[NDArray[np.float32] | None, Liveness | None]:
        """Embeddings and liveness of all faces of all images, the nets running at the same time."""
        embedded, checked = await together(
            timed(RECOGNISE, self._embed(pairs)) if embeddings else _nothing(),
            timed(LIVENESS, self._check(pairs)) if anti_spoofing else _nothing(),
        )
        return cast("NDArray[np.float32] | None", embedded), cast("Liveness | None", checked)

    async def _embed(self, pairs: Sequence[tuple[Image, Faces]]) -> NDArray[np.float32]:
        net = self.pack.recognizer
        alignables = [alignable(faces.landmarks) for _, faces in pairs]
        points = [(image, faces.landmarks[mask]) for (image, faces), mask in zip(pairs, alignables, strict=True)]
        usable = np.concatenate(alignables)
        embeddings = np.zeros((len(usable), net.dimension), dtype=np.float32)
        if not usable.any():
            return embeddings
        crops = await asyncio.to_thread(
            lambda: np.concatenate(
                [aligned_crops(image, marks, self._template, net.height, net.width) for image, marks in points]
            )
        )
        names = (contract.EMBEDDINGS,)
        (embedded,) = await infer_in_chunks(self._inferer, RECOGNIZER, crops, names)
        check_embeddings(embedded)
        embeddings[usable] = embedded
        return embeddings

    async def _check(self, pairs: Sequence[tuple[Image, Faces]]) -> Liveness:
        if not any(len(faces) for _, faces in pairs):
            return Liveness(np.empty(0, dtype=np.bool_), np.empty(0, dtype=np.float32))
        assert self.pack.liveness is not None  # noqa: S101 - required before any work
        answers = await together(*(self._probabilities(net, pairs) for net in self.pack.liveness.nets))
        return fuse(answers, self.pack.liveness)

    async def _probabilities(self, net: LivenessNet, pairs: Sequence[tuple[Image, Faces]]) -> NDArray[np.float32]:
        crops = await asyncio.to_thread(
            lambda: np.concatenate(
                [context_crops(image, faces.boxes, net.crop_scale, net.height, net.width) for image, faces in pairs]
            )
        )
        return (await infer_in_chunks(self._inferer, net.name, crops, (contract.PROBABILITIES,)))[0]


async def _nothing() -> None:
    return None
