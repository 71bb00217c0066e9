"""What the two ensemble models do with a request: values in, tensors by name out. Knows nothing of Triton."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate_client import contract
from facegate_ensemble.errors import invalid
from facegate_ensemble.pipeline.alignment import alignable
from facegate_ensemble.pipeline.detection import Faces
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.policy import UNRESTRICTED, Policy
from facegate_ensemble.stage_timers import DECODE, stage
from facegate_ensemble.triton.request import (
    Inputs,
    analyze_parameters,
    image_name,
    read_faces,
    read_image,
    read_parameters,
    verify_values,
)

Outputs = dict[str, NDArray[Any]]


def analyze(pipeline: Pipeline, inputs: Inputs, parameters: str) -> Outputs:
    """face_analyze: one image, all its faces, or with several_faces one of them and FACE_COUNT.

    IS_REAL and ANTISPOOF_SCORE are there only where they were checked.

    Inputs and outputs have the names, dtypes and shapes of docs/wire.md; `parameters` is a JSON object. Raises
    RequestError.
    """
    values = read_parameters(parameters, analyze_parameters(pipeline.pack))
    if values[contract.SEVERAL_FACES] and contract.FACES_IN in inputs:
        raise invalid(
            f"{contract.SEVERAL_FACES}: expected no {contract.FACES_IN} with it, since given faces are all described; "
            "leave one of them out"
        )
    if values[contract.ANTI_SPOOFING]:
        pipeline.require_liveness()
    with stage(DECODE):
        image = read_image(inputs)
    faces = read_faces(inputs[contract.FACES_IN], *image.shape[:2]) if contract.FACES_IN in inputs else None
    analysis = pipeline.analyze(
        image,
        anti_spoofing=values[contract.ANTI_SPOOFING],
        embeddings=values[contract.WITH_EMBEDDINGS],
        min_score=values[contract.MIN_SCORE],
        max_faces=values[contract.MAX_FACES],
        faces=faces,
        several_faces=values[contract.SEVERAL_FACES],
        name=image_name(inputs),
    )
    outputs: Outputs = {
        contract.BOXES: analysis.faces.boxes,
        contract.SCORES: analysis.faces.scores,
        contract.LANDMARKS: analysis.faces.landmarks,
        contract.MODEL: _model(pipeline),
    }
    if analysis.embeddings is not None:
        outputs[contract.EMBEDDINGS] = analysis.embeddings
        if faces is not None:
            outputs[contract.FACE_ERRORS] = _face_errors(faces)
    if analysis.face_count is not None:
        outputs[contract.FACE_COUNT] = np.array([analysis.face_count], dtype=np.int32)
    if analysis.liveness is not None:
        outputs[contract.IS_REAL] = analysis.liveness.is_real
        outputs[contract.ANTISPOOF_SCORE] = analysis.liveness.p_real
    return outputs


def verify(pipeline: Pipeline, inputs: Inputs, parameters: str, *, policy: Policy = UNRESTRICTED) -> Outputs:
    """face_verify: two images, one verdict. PROCESSING_TIME_MS is from here to the verdict, waiting excluded.

    Inputs, outputs, parameters and errors as in `analyze`. `policy` has the operator's rules.
    """
    start = time.perf_counter()
    values = verify_values(parameters, pipeline.pack, policy)
    if values[contract.ANTI_SPOOFING]:
        pipeline.require_liveness()
    suffixes = ("_1", "_2")
    with stage(DECODE):
        images = pipeline.lanes.together([partial(read_image, inputs, suffix) for suffix in suffixes])
    verdict, boxes, face_counts = pipeline.verify(
        images,
        threshold=values[contract.DISTANCE_THRESHOLD],
        anti_spoofing=values[contract.ANTI_SPOOFING],
        several_faces=values[contract.SEVERAL_FACES],
        names=[image_name(inputs, suffix) for suffix in suffixes],
    )
    outputs: Outputs = {
        contract.VERIFIED: np.array([verdict.verified]),
        contract.DISTANCE: np.array([verdict.distance], dtype=np.float32),
        contract.THRESHOLD: np.array([verdict.threshold], dtype=np.float32),
        contract.CONFIDENCE: np.array([verdict.confidence], dtype=np.float32),
        contract.BOX + "_1": boxes[0],
        contract.BOX + "_2": boxes[1],
        contract.MODEL: _model(pipeline),
    }
    for suffix, count in zip(suffixes, face_counts, strict=True):
        outputs[contract.FACE_COUNT + suffix] = np.array([count], dtype=np.int32)
    if verdict.liveness is not None:
        for index, suffix in enumerate(suffixes):
            outputs[contract.IS_REAL + suffix] = verdict.liveness.is_real[index : index + 1]
            outputs[contract.ANTISPOOF_SCORE + suffix] = verdict.liveness.p_real[index : index + 1]
    outputs[contract.PROCESSING_TIME_MS] = np.array([(time.perf_counter() - start) * 1e3], dtype=np.float32)
    return outputs


def _model(pipeline: Pipeline) -> NDArray[np.object_]:
    return np.array([pipeline.pack.metadata().encode()], dtype=object)


def _face_errors(faces: Faces) -> NDArray[np.object_]:
    """BYTES [N]: why a given face has no embedding, empty where it has one."""
    reason = str(invalid("its landmarks coincide, and no crop can be aligned by them")).encode()
    return np.array([b"" if usable else reason for usable in alignable(faces.landmarks)], dtype=object)
