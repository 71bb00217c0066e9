"""JPEGs that the decoder itself scales by 1/2: tried in a benchmark alone, the server decodes whole pictures."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate_client.imaging.header import read_header
from facegate_client.imaging.image import decode
from facegate_ensemble.pack import Pack
from facegate_ensemble.pipeline.alignment import similarity
from facegate_ensemble.pipeline.detection import Faces
from facegate_ensemble.pipeline.liveness import context_box
from facegate_ensemble.pipeline.pipeline import Analysis, Pipeline

DETECTOR_SIDE = 640
"""The detector reads that many pixels of a picture's longer side."""

Image = NDArray[np.uint8]


def whole(pipeline: Pipeline, data: bytes) -> Analysis:
    """What the server does."""
    return pipeline.analyze(decode(data), anti_spoofing=True, embeddings=True)


def half(pipeline: Pipeline, data: bytes) -> Analysis:
    """The same on the picture at half its size, crops too; coordinates are the whole picture's."""
    small = halved(data)
    if small is None:
        return whole(pipeline, data)
    found = pipeline.analyze(small, anti_spoofing=True, embeddings=True)
    return replace(found, faces=doubled(found.faces))


def half_unless_enlarged(pipeline: Pipeline, data: bytes) -> Analysis:
    """Faces are found at half the size; where a crop would have to be enlarged there, the picture is decoded whole too,
    and all crops are cut from it."""
    small = halved(data)
    if small is None:
        return whole(pipeline, data)
    faces = pipeline.analyze(small, anti_spoofing=False, embeddings=False).faces
    sharp = enlarged(pipeline.pack, small, faces)
    image, cut = (decode(data), doubled(faces)) if sharp else (small, faces)
    described = pipeline.analyze(image, faces=cut, anti_spoofing=True, embeddings=True)
    return replace(described, faces=doubled(faces))


def halved(data: bytes) -> Image | None:
    """A JPEG as its decoder scales it by 1/2, upright, where that leaves the detector all the pixels it reads."""
    header = read_header(data)
    if header.kind != "JPEG" or max(header.height, header.width) < 2 * DETECTOR_SIDE:
        return None
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_2), np.uint8)


def doubled(faces: Faces) -> Faces:
    """Faces of a halved picture in the whole one's pixels."""
    return replace(faces, boxes=faces.boxes * 2, landmarks=faces.landmarks * 2)


def enlarged(pack: Pack, image: Image, faces: Faces) -> bool:
    """Whether any crop of any face has more pixels, along either side, than the part of `image` it is made of."""
    template = np.array(pack.recognizer.template)
    if any(math.hypot(*similarity(points, template)[:, 0]) > 1 for points in faces.landmarks):
        return True
    for net in pack.liveness_nets:
        for box in faces.boxes:
            x1, y1, x2, y2 = context_box(box, net.crop_scale, *image.shape[:2])
            if x2 - x1 < net.width or y2 - y1 < net.height:
                return True
    return False
