"""The way of an image: detect, crop, recognise and check liveness. Knows nothing of where the nets run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.contract import Code, SeveralFaces
from facegate_ensemble.errors import RequestError, invalid
from facegate_ensemble.pack import RECOGNIZER, LivenessNet, Pack
from facegate_ensemble.pipeline.alignment import alignable, aligned_crops
from facegate_ensemble.pipeline.detection import NO_FACES, Faces, choose_face, select_faces
from facegate_ensemble.pipeline.letterbox import letterbox
from facegate_ensemble.pipeline.liveness import Liveness, context_crops, fuse
from facegate_ensemble.pipeline.pyramid import Image, ImagePyramid
from facegate_ensemble.pipeline.verification import Verdict, check_embeddings, judge
from facegate_ensemble.runtime.runner import Inferer, in_chunks
from facegate_ensemble.stage_timers import DETECT, LIVENESS, RECOGNISE, stage


@dataclass(frozen=True, slots=True)
class Analysis:
    """The faces of an image. None means "not requested": embeddings FP32 [N, D], liveness of N faces.

    A face whose landmarks coincide cannot be aligned and has an embedding of zeros. `face_count`: the faces found,
    where at most one of them was to be chosen.
    """

    faces: Faces
    embeddings: NDArray[np.float32] | None
    liveness: Liveness | None
    face_count: int | None = None


class Pipeline:
    """Faces from images, by the models of one pack. Images are UINT8 [H, W, 3] BGR."""

    def __init__(self, pack: Pack, inferer: Inferer) -> None:
        self.pack = pack
        self.lanes = inferer.lanes
        self._inferer = inferer
        self._detectors = pack.detectors
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

    def analyze(
        self,
        image: Image,
        *,
        anti_spoofing: bool,
        embeddings: bool,
        min_score: float | None = None,
        max_faces: int = contract.DEFAULT_MAX_FACES,
        faces: Faces | None = None,
        several_faces: SeveralFaces | None = None,
        name: str = "image",
    ) -> Analysis:
        """All faces of an image, or what the models say of `faces`, which are then not detected.

        `min_score` is the lowest detection score, 0-1, the pack's where None; `max_faces` keeps the best. Neither
        applies to `faces`. With `several_faces` at most one of the detected faces is described, and all that reach
        `min_score` are counted. Raises RequestError FAILED_PRECONDITION when liveness cannot be checked,
        INVALID_ARGUMENT, with the image's `name`, when SeveralFaces.REFUSE finds more than one face, and RuntimeError
        when the output of a model is not possible.
        """
        if anti_spoofing:
            self.require_liveness()
        pyramid, face_count = ImagePyramid(image), None
        if faces is None:
            (faces,) = self._detect([pyramid], min_score, contract.MAX_FACES_LIMIT if several_faces else max_faces)
            if several_faces:
                face_count = len(faces)
                faces = _one_face(faces, image, several_faces, name)
        described = self._describe([(pyramid, faces)], embeddings=embeddings, anti_spoofing=anti_spoofing)
        return Analysis(faces, *described, face_count)

    def verify(
        self,
        images: Sequence[Image],
        *,
        threshold: float | None,
        anti_spoofing: bool,
        several_faces: SeveralFaces = SeveralFaces.BEST,
        names: Sequence[str] = ("image 1", "image 2"),
    ) -> tuple[Verdict, NDArray[np.float32], list[int]]:
        """The verdict on one face of each of two images, the boxes of both faces, and the faces found in each image.

        Boxes are FP32 [2, 4], x1 y1 x2 y2 in image pixels. `threshold` is a cosine distance in (0, 2], the pack's
        where None; `names` are the images' in an error. Raises RequestError NOT_FOUND when an image has no face,
        INVALID_ARGUMENT when SeveralFaces.REFUSE finds more than one, FAILED_PRECONDITION when liveness cannot be
        checked.
        """
        if anti_spoofing:
            self.require_liveness()
        pyramids = [ImagePyramid(image) for image in images]
        found = self._detect(pyramids, None, contract.MAX_FACES_LIMIT)
        empty = [str(number) for number, faces in enumerate(found, 1) if not len(faces)]
        if empty:
            raise RequestError(Code.NOT_FOUND, f"no face in image {' and image '.join(empty)}")
        chosen = [
            _one_face(faces, image, several_faces, name)
            for faces, image, name in zip(found, images, names, strict=True)
        ]
        pairs = list(zip(pyramids, chosen, strict=True))
        embeddings, liveness = self._describe(pairs, embeddings=True, anti_spoofing=anti_spoofing)
        assert embeddings is not None  # noqa: S101 - asked for above
        limit = self.pack.recognizer.threshold if threshold is None else threshold
        boxes = np.concatenate([faces.boxes for faces in chosen])
        return judge(embeddings, limit, liveness), boxes, [len(faces) for faces in found]

    def _detect(self, images: Sequence[ImagePyramid], min_score: float | None, max_faces: int) -> list[Faces]:
        """The faces of each image; the second look is at those in which the first found none, all in one batch."""
        found = [NO_FACES] * len(images)
        with stage(DETECT):
            for model in self._detectors:
                empty = [i for i, faces in enumerate(found) if not len(faces)]
                if not empty:
                    break
                looks = self._look(model, [images[i] for i in empty], min_score, max_faces)
                for i, faces in zip(empty, looks, strict=True):
                    found[i] = faces
        return found

    def _look(self, model: str, images: Sequence[ImagePyramid], min_score: float | None, max_faces: int) -> list[Faces]:
        """The faces that the detector `model` finds in each image."""
        net = self._detectors[model]
        factors = [1.0] * len(images)

        def fitted(rows: slice) -> NDArray[np.uint8]:
            canvases = []
            for i in range(rows.start, rows.stop):
                canvas, factors[i] = letterbox(images[i], net.height, net.width)
                canvases.append(canvas[None])
            return canvases[0] if len(canvases) == 1 else np.concatenate(canvases)

        boxes, scores, landmarks = in_chunks(self._inferer, model, len(images), fitted, net.output_names)
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
            for i, factor in enumerate(factors)
        ]

    def _describe(
        self, pairs: Sequence[tuple[ImagePyramid, Faces]], *, embeddings: bool, anti_spoofing: bool
    ) -> tuple[NDArray[np.float32] | None, Liveness | None]:
        """Embeddings and liveness of all faces of all images, the nets side by side where lanes are idle."""
        images = [image for image, faces in pairs for _ in range(len(faces))]
        boxes = np.concatenate([faces.boxes for _, faces in pairs])
        landmarks = np.concatenate([faces.landmarks for _, faces in pairs])
        embedded: list[NDArray[np.float32]] = []
        checked: list[Liveness] = []
        works: list[Callable[[], None]] = []
        if embeddings:
            works.append(lambda: embedded.append(self._embed(images, landmarks)))
        if anti_spoofing:
            works.append(lambda: checked.append(self._check(images, boxes)))
        self.lanes.together(works)
        # What was asked for and is not there raises: "not checked" is said of what was not asked for alone.
        return embedded[0] if embeddings else None, checked[0] if anti_spoofing else None

    def _embed(self, images: Sequence[ImagePyramid], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of each face, by the image it is in and its `landmarks` [N, 5, 2]."""
        net = self.pack.recognizer
        usable = np.flatnonzero(alignable(landmarks))
        embeddings = np.zeros((len(landmarks), net.dimension), dtype=np.float32)
        if not len(usable):
            return embeddings

        def crops(rows: slice) -> NDArray[np.uint8]:
            cut = partial(aligned_crops, template=self._template, height=net.height, width=net.width)
            return np.concatenate([cut(images[i], landmarks[i : i + 1]) for i in usable[rows]])

        with stage(RECOGNISE):
            (embedded,) = in_chunks(self._inferer, RECOGNIZER, len(usable), crops, (contract.EMBEDDINGS,))
        check_embeddings(embedded)
        embeddings[usable] = embedded
        return embeddings

    def _check(self, images: Sequence[ImagePyramid], boxes: NDArray[np.float32]) -> Liveness:
        """Of each face, by the image it is in and its box, `boxes` [N, 4]."""
        rule = self.pack.liveness
        assert rule is not None  # noqa: S101 - required before any work
        if not images:
            return Liveness(np.empty(0, dtype=np.bool_), np.empty(0, dtype=np.float32))
        with stage(LIVENESS):
            works = [partial(self._probabilities, net, images, boxes) for net in rule.nets]
            return fuse(self.lanes.together(works), rule)

    def _probabilities(
        self, net: LivenessNet, images: Sequence[ImagePyramid], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        def crops(rows: slice) -> NDArray[np.uint8]:
            cut = partial(context_crops, scale=net.crop_scale, height=net.height, width=net.width)
            return np.concatenate([cut(images[i], boxes[i : i + 1]) for i in range(rows.start, rows.stop)])

        return in_chunks(self._inferer, net.name, len(images), crops, (contract.PROBABILITIES,))[0]


def _one_face(faces: Faces, image: Image, several_faces: SeveralFaces, name: str) -> Faces:
    """The face that counts, none of no faces. Raises RequestError for several faces where they are to be refused."""
    if several_faces is SeveralFaces.REFUSE and len(faces) > 1:
        raise invalid(
            f"{name}: expected one face, found {len(faces)}; crop it to one face, or send "
            f"{contract.SEVERAL_FACES}={SeveralFaces.LARGEST.value}"
        )
    return choose_face(faces, several_faces, *image.shape[:2])
