"""The proof that a served graph is the published net: equal to it fed by hand, and a batch equal to singles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engines.reference import Outputs, Reference
from ensemble.alignment import aligned_crops
from ensemble.image import decode, letterbox
from ensemble.liveness import context_crops
from ensemble.onnx_inferer import OnnxInferer
from ensemble.pack import DETECTOR, LivenessNet, Pack, Recognizer
from ensemble.pipeline import Pipeline
from facegate_client import contract

TOLERANCES = {
    contract.BOXES: 0.05,
    contract.LANDMARKS: 0.05,
    contract.SCORES: 1e-4,
    contract.EMBEDDINGS: 1e-4,
    contract.PROBABILITIES: 1e-4,
}
"""Largest difference allowed, in the output's unit: detector pixels, or none. Rounding alone stays well below."""

WORTH_COMPARING = 0.1
"""Candidates scored under this are noise whose order among equals is arbitrary."""


class ParityError(RuntimeError):
    """A served graph does not answer what its net does."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The largest differences found for one output: to the net fed by hand, and of a batch to singles."""

    model: str
    output: str
    pictures: int
    to_original: float
    batch_to_singles: float

    def __bool__(self) -> bool:
        return bool(np.max([self.to_original, self.batch_to_singles]) <= TOLERANCES[self.output])  # NaN is false


def prove(pack: Pack, weights: Mapping[str, Path], repository: Path, pictures: Sequence[Path]) -> list[Parity]:
    """One Parity an output of every net in `repository`, over the faces of `pictures`.

    `weights` are the published nets' files by their names.

    Raises ParityError when a picture shows no face, or a difference is over its tolerance.
    """
    return asyncio.run(_prove(pack, weights, repository, [decode(picture.read_bytes()) for picture in pictures]))


async def _prove(
    pack: Pack, weights: Mapping[str, Path], repository: Path, images: Sequence[NDArray[np.uint8]]
) -> list[Parity]:
    inferer = OnnxInferer(repository, pack.nets)
    report: list[Parity] = []
    for model, net in pack.nets.items():
        if not inferer.serves(model):
            continue
        crops = await crops_of(pack, inferer, model, images)
        reference = Reference(net, weights[net.file])
        expected = [reference.run(crop) for crop in crops]
        served = _runner(repository / model / "1" / "model.onnx")
        singles = [_row(served(crop[None]), 0) for crop in crops]
        together = served(crops)
        for output in expected[0]:
            report.append(
                Parity(
                    model,
                    output,
                    len(crops),
                    _largest(_difference(*pair, output) for pair in zip(singles, expected, strict=True)),
                    _largest(_difference(_row(together, i), single, output) for i, single in enumerate(singles)),
                )
            )
    for parity in report:
        if not parity:
            raise ParityError(
                f"{parity.model} {parity.output}: {parity.to_original:.2g} from the published net, "
                f"{parity.batch_to_singles:.2g} between batch and singles; allowed {TOLERANCES[parity.output]:g}"
            )
    return report


def _runner(path: Path) -> Callable[[NDArray[np.uint8]], Outputs]:
    """Runs a graph on a whole batch, which the inferer would cut into pieces that suit a CPU."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    source = session.get_inputs()[0].name
    return lambda batch: dict(zip(names, session.run(names, {source: batch}), strict=True))


async def crops_of(
    pack: Pack, inferer: OnnxInferer, model: str, images: Sequence[NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """What `model` is fed for these images: UINT8 [B, H, W, 3]. Raises ParityError when one shows no face."""
    net = pack.nets[model]
    if model == DETECTOR:
        return np.stack([letterbox(image, net.height, net.width)[0] for image in images])
    crops = []
    for image in images:
        faces = (await Pipeline(pack, inferer).analyze(image, anti_spoofing=False, embeddings=False)).faces
        if not len(faces):
            raise ParityError("the detector finds no face in a picture of the proof")
        if isinstance(net, Recognizer):
            template = np.array(net.template, dtype=np.float32)
            crops.append(aligned_crops(image, faces.landmarks, template, net.height, net.width))
        elif isinstance(net, LivenessNet):
            crops.append(context_crops(image, faces.boxes, net.crop_scale, net.height, net.width))
    return np.concatenate(crops)


def _row(outputs: Outputs, index: int) -> Outputs:
    return {name: values[index].astype(np.float32) for name, values in outputs.items()}


def _largest(differences: Iterable[float]) -> float:
    return float(np.max(list(differences)))  # unlike max(), NaN wins


def _difference(left: Outputs, right: Outputs, output: str) -> float:
    """Largest absolute difference; a detector's candidates are paired by their boxes, since equals may swap."""
    if contract.BOXES not in right:
        return float(np.abs(left[output] - right[output]).max())
    return _largest([_unmatched(left, right, output), _unmatched(right, left, output)])


def _unmatched(left: Outputs, right: Outputs, output: str) -> float:
    """How far the candidates of `right` that are worth comparing are from the nearest ones of `left`."""
    rows = ~(right[contract.SCORES] < WORTH_COMPARING)  # NaN is worth it
    gaps = np.abs(left[contract.BOXES][None] - right[contract.BOXES][rows][:, None]).max(axis=2)
    return float(np.abs(left[output][gaps.argmin(axis=1)] - right[output][rows]).max(initial=0.0))
