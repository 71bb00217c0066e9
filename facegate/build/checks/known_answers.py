"""Requests on the sample pictures with the accepted models' answers, kept in a repository for the canary."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.build.checks.gate import COSINE, LIMITS, P_REAL, SAME_FACE
from facegate.build.checks.pictures import FILLING, close_up
from facegate.errors import ParityError
from facegate_client import contract
from facegate_client.imaging.image import decode
from facegate_ensemble.errors import RequestError
from facegate_ensemble.pack import DETECTOR, Pack
from facegate_ensemble.pipeline.detection import Faces
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.pipeline.pyramid import Image
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.runtime.runner import Inferer
from facegate_ensemble.triton import handlers

KNOWN_ANSWERS = "canary.npz"
SAMPLES = ("image_T1.jpg", "image_F2.jpg")
"""A live face and a spoof, of the same size."""

LONGEST_SIDE = 256
"""Pixels that the sample pictures are reduced to, since the canary sends them every few seconds."""

DETECTED = {
    **{contract.BOX + suffix: 1 - SAME_FACE for suffix in ("_1", "_2")},
    **{contract.ANTISPOOF_SCORE + suffix: 0.2 for suffix in ("_1", "_2")},
    contract.DISTANCE: 0.2,
}
"""The largest differences allowed where the detector finds the face, whose boxes may move a little in another
precision. Landmarks and boxes of these two faces moved by up to 5 detector pixels changed P(live) by 0.02 and an
embedding by 0.09 (1 - cosine)."""

CLEARLY = 0.05
"""How far from the pack's lowest score a face's score is, so that in every precision the same look finds it."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """A request to `model` and the outputs to expect, tensors by name; `limits` has the largest difference allowed of
    each output: of BOX_n as 1 - IoU, of EMBEDDINGS as 1 - cosine, of any other as its value. `found_by` names the
    detector that finds the face of each image; it is empty where the faces are given."""

    model: str
    found_by: tuple[str, ...]
    anti_spoofing: bool
    inputs: Arrays
    outputs: Arrays
    limits: dict[str, float]


def _limits(outputs: Iterable[str]) -> dict[str, float]:
    known = {contract.EMBEDDINGS: LIMITS[COSINE], contract.ANTISPOOF_SCORE: LIMITS[P_REAL], contract.IS_REAL: 0.0}
    return {name: (DETECTED | known)[name] for name in outputs}


def make_known_answers(pack: Pack, repository: Path, samples: Mapping[str, Path]) -> list[KnownAnswer]:
    """A request to each of the ensemble models, answered by the graphs of `repository` under ONNX Runtime.

    face_analyze is given the faces, so that each model always gets the same crops; face_verify detects them, the spoof
    by the second look where the pack has one. Without liveness models liveness is left out. Raises ParityError where a
    sample picture shows no face.
    """
    inferer = OnnxInferer(repository, pack.nets)
    pipeline = Pipeline(pack, inferer)
    liveness = bool(pack.liveness_nets) and all(inferer.serves(net.name) for net in pack.liveness_nets)
    (live, spoof), rows = _with_faces(pipeline, [decode(samples[name].read_bytes()) for name in SAMPLES])
    filling = _filling(pack, inferer, spoof, rows[1, :4])
    rows[1, ::2] += live.shape[1]  # beside the live face
    given = np.frombuffer(rows.astype("<f4").tobytes(), np.uint8)
    found_by = (DETECTOR, DETECTOR if filling is None else [*pack.detectors][-1])
    verified = spoof if filling is None else filling
    requests: dict[str, tuple[Any, tuple[str, ...], Arrays]] = {
        contract.ANALYZE: (handlers.analyze, (), {**_frame(np.hstack([live, spoof])), contract.FACES_IN: given}),
        contract.VERIFY: (handlers.verify, found_by, {**_frame(live, "_1"), **_frame(verified, "_2")}),
    }
    known = []
    for model, (handler, found, inputs) in requests.items():
        try:
            answer = handler(pipeline, inputs, json.dumps({contract.ANTI_SPOOFING: liveness}))
        except RequestError as error:
            raise ParityError(f"{model} on the sample pictures {' and '.join(SAMPLES)}: {error}") from None
        outputs = {name: answer[name] for name in _wanted(pack, answer)}
        known.append(KnownAnswer(model, found, liveness, inputs, outputs, _limits(outputs)))
    return known


def save_known_answers(known: Iterable[KnownAnswer], repository: Path) -> None:
    """Write `known` into `repository`."""
    arrays: Arrays = {}
    for each in known:
        arrays[f"{each.model}/anti_spoofing"] = np.array(each.anti_spoofing)
        arrays[f"{each.model}/found_by"] = np.array(each.found_by, dtype=np.str_)
        arrays |= {f"{each.model}/inputs/{name}": value for name, value in each.inputs.items()}
        arrays |= {f"{each.model}/outputs/{name}": value for name, value in each.outputs.items()}
        arrays |= {f"{each.model}/limits/{name}": np.array(value) for name, value in each.limits.items()}
    np.savez_compressed(repository / KNOWN_ANSWERS, **arrays)


def load_known_answers(repository: Path) -> list[KnownAnswer]:
    """What was saved in `repository`."""
    with np.load(repository / KNOWN_ANSWERS, allow_pickle=False) as file:
        arrays = dict(file)

    def below(folder: str) -> Arrays:
        return {name.removeprefix(folder): value for name, value in arrays.items() if name.startswith(folder)}

    return [
        KnownAnswer(
            model,
            tuple(arrays[f"{model}/found_by"].tolist()),
            bool(arrays[f"{model}/anti_spoofing"]),
            below(f"{model}/inputs/"),
            below(f"{model}/outputs/"),
            {name: float(limit) for name, limit in below(f"{model}/limits/").items()},
        )
        for model in (contract.ANALYZE, contract.VERIFY)
    ]


def _with_faces(pipeline: Pipeline, pictures: Sequence[Image]) -> tuple[list[Image], NDArray[np.float32]]:
    """The pictures, reduced unless a face is lost by it, and the best face of each as a row of FACES_IN, FP32 [N, 14].

    Raises ParityError where a picture shows no face."""
    for side in (LONGEST_SIDE, max(pictures[0].shape)):
        scale = side / max(pictures[0].shape)
        frames = [_scaled(each, scale) for each in pictures]
        found = [pipeline.analyze(each, anti_spoofing=False, embeddings=False, max_faces=1).faces for each in frames]
        if all(map(len, found)):
            return frames, np.concatenate([_rows(faces) for faces in found])
    raise ParityError(f"no face in {' or '.join(SAMPLES)}")


def _filling(pack: Pack, inferer: Inferer, image: Image, box: NDArray[np.float32]) -> Image | None:
    """The face in `box` so large that the second look alone finds it, UINT8 [S, S, 3]; None where there is no second
    look, or no such size."""
    score = pack.detector.min_score
    first = pack.model_copy(update={"detector": pack.detector.of_size(pack.detector.height, pack.detector.width)})
    for share in (FILLING, 1.35, 1.5, 1.75, 2.0):
        frame = close_up(image, box, share)
        once, twice = (
            Pipeline(each, inferer).analyze(frame, anti_spoofing=False, embeddings=False, min_score=least).faces
            for each, least in ((first, max(0.0, score - CLEARLY)), (pack, min(1.0, score + CLEARLY)))
        )
        if len(once) == 0 and len(twice) == 1:
            return frame
    return None


def _scaled(image: Image, scale: float) -> Image:
    return cast(Image, cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def _rows(faces: Faces) -> NDArray[np.float32]:
    return np.concatenate([faces.boxes, faces.landmarks.reshape(-1, 10)], axis=1)


def _frame(image: Image, suffix: str = "") -> Arrays:
    return {
        contract.FRAME + suffix: np.ascontiguousarray(image).reshape(-1),
        contract.FRAME_SHAPE + suffix: np.array(image.shape[:2], np.int32),
    }


def _wanted(pack: Pack, answer: Mapping[str, NDArray[Any]]) -> list[str]:
    """The outputs to compare. IS_REAL is one where no P(live) is so close to the threshold that a permitted difference
    could change the verdict."""
    names = [contract.EMBEDDINGS, contract.ANTISPOOF_SCORE, *DETECTED]
    if pack.liveness is not None and contract.IS_REAL in answer:
        margin = LIMITS[P_REAL]
        p_live, least = answer[contract.ANTISPOOF_SCORE], pack.liveness.min_real
        if np.all((p_live > max(least, 0.5) + margin) | (p_live < least - margin)):
            names.append(contract.IS_REAL)
    return [name for name in names if name in answer]
