"""Pictures that models are judged on, and what each model is fed for them."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegate.errors import EngineError
from facegate_client.imaging.errors import InvalidImage
from facegate_client.imaging.image import decode
from facegate_ensemble.pack import DETECTOR, RECOGNIZER, Detector, LivenessNet, Pack
from facegate_ensemble.pipeline.alignment import alignable, aligned_crops
from facegate_ensemble.pipeline.detection import Faces
from facegate_ensemble.pipeline.letterbox import letterbox
from facegate_ensemble.pipeline.liveness import context_crops
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.runtime.runner import Inferer

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MOST = 64
"""Pictures on which the layers of a model that failed are compared, at most."""

FILLING = 1.2
"""A face that fills the picture, as the height of its box over the picture's: at 640 x 640 YuNet loses some of them."""

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Picture files in their order."""

    files: tuple[Path, ...]

    @classmethod
    def under(cls, folder: Path) -> Pictures:
        """All pictures in a folder and those in it, copies once. Raises EngineError where there are none."""
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not files:
            raise EngineError(f"{folder}: no pictures there ({', '.join(SUFFIXES)})")
        different = {hashlib.sha256(file.read_bytes()).digest(): file for file in reversed(files)}
        return cls(tuple(sorted(different.values())))

    @property
    def digest(self) -> str:
        """SHA-256 of what the files hold."""
        each = (hashlib.sha256(file.read_bytes()).digest() for file in self.files)
        return hashlib.sha256(b"".join(each)).hexdigest()

    def some(self) -> Pictures:
        """Returns at most MOST of them, spread evenly."""
        return Pictures(self.files[:: math.ceil(len(self.files) / MOST)])

    def images(self) -> Iterator[tuple[str, Image]]:
        """Each picture's name and pixels, UINT8 [H, W, 3] BGR. Raises EngineError for one that cannot be decoded."""
        for file in self.files:
            try:
                yield file.name, decode(file.read_bytes())
            except InvalidImage as error:
                raise EngineError(f"{file}: {error}; take it out of the folder") from None


def pictures_of(folder: Path | None, samples: Sequence[Path]) -> Pictures:
    """Those in a user's folder; else the labelled ones of the mirror, where it has any; else the sample pictures."""
    if folder:
        return Pictures.under(folder)
    mirror = os.environ.get("FACEGATE_MIRROR")
    labelled = Path(mirror) / "images" if mirror else None
    return Pictures.under(labelled) if labelled and labelled.is_dir() else Pictures(tuple(samples))


def fed(pack: Pack, inferer: Inferer, images: Iterable[tuple[str, Image]]) -> dict[str, NDArray[np.uint8]]:
    """What each net that `inferer` serves is fed for these pictures and the faces in them: UINT8 [N, H, W, 3] by model.

    Raises EngineError where no picture has a face.
    """
    pipeline = Pipeline(pack, inferer)
    crops: dict[str, list[NDArray[np.uint8]]] = {model: [] for model in pack.nets if inferer.serves(model)}
    for _, image in images:
        faces = pipeline.analyze(image, anti_spoofing=False, embeddings=False).faces
        for model in crops:
            crops[model].append(crops_of(pack, model, image, faces))
    together = {model: np.concatenate(each) for model, each in crops.items()}
    if not all(map(len, together.values())):
        raise EngineError("none of the pictures shows a face; give others with --pictures")
    return together


def close_up(image: Image, box: NDArray[np.float32], share: float) -> Image:
    """UINT8 [S, S, 3]: the square around the centre of `box`, x1 y1 x2 y2, of whose height the box has `share`.

    Where it is outside the image, the pixels at the edge are repeated.
    """
    left, top, right, bottom = (float(value) for value in box)
    side = max(1, round((bottom - top) / share))
    rows = round((top + bottom - side) / 2) + np.arange(side)
    columns = round((left + right - side) / 2) + np.arange(side)
    return image[np.clip(rows, 0, image.shape[0] - 1)][:, np.clip(columns, 0, image.shape[1] - 1)]


def crops_of(pack: Pack, model: str, image: Image, faces: Faces) -> NDArray[np.uint8]:
    """UINT8 [N, H, W, 3]: what one net is fed for one picture and its faces, the best first.

    The detector of the second look is fed the best face, filling the picture.
    """
    net = pack.nets[model]
    if isinstance(net, Detector):
        shown = [image] if model == DETECTOR else [close_up(image, box, FILLING) for box in faces.boxes[:1]]
        fitted = [letterbox(each, net.height, net.width)[0] for each in shown]
        return np.stack(fitted) if fitted else np.empty((0, net.height, net.width, 3), np.uint8)
    if model == RECOGNIZER:
        template = np.array(pack.recognizer.template, dtype=np.float32)
        points = faces.landmarks[alignable(faces.landmarks)]
        return aligned_crops(image, points, template, net.height, net.width)
    assert isinstance(net, LivenessNet)  # noqa: S101 - there is no fourth kind
    return context_crops(image, faces.boxes, net.crop_scale, net.height, net.width)
