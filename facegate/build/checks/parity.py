"""The proof that a served graph is the published net: equal to it fed by hand, and a batch equal to singles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegate.build.checks.reference import Reference
from facegate.build.graphs.published import session
from facegate.build.precision.running import Outputs
from facegate.errors import ParityError
from facegate_client import contract
from facegate_client.imaging.image import decode
from facegate_ensemble.pack import Detector, LivenessNet, Net, Pack, Recognizer
from facegate_ensemble.pipeline.alignment import aligned_crops
from facegate_ensemble.pipeline.letterbox import letterbox
from facegate_ensemble.pipeline.liveness import context_crops
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.runtime.inference_error import ONE_AT_A_TIME, NetFault
from facegate_ensemble.runtime.onnx.runner import OnnxInferer
from facegate_ensemble.runtime.onnx.session import CPU_GRAPH, GRAPH

ROUNDING = 1e-3
"""How far a probability may lie outside 0 to 1, and how far their sum may be from 1 and still be taken for it."""


class UnsoundError(ValueError):
    """A net's answers are none that its pack's kind of net gives."""


def require_sound(net: Net, answers: Sequence[Outputs]) -> None:
    """Raises UnsoundError unless `answers`, a published net's raw outputs by picture, are what its kind answers."""
    if not all(np.isfinite(values).all() for answer in answers for values in answer.values()):
        raise UnsoundError("answers values that are not numbers")
    if isinstance(net, Detector) and net.head == "scrfd":  # a yunet's are clipped
        scores = np.concatenate([v.ravel() for answer in answers for v in answer.values() if v.shape[-1] == 1])
        if scores.min() < -ROUNDING or scores.max() > 1 + ROUNDING:
            raise UnsoundError(
                f"answers scores of {scores.min():.3g} to {scores.max():.3g}; wanted are scores of 0 to 1: "
                "a Sigmoid must end each of its three score outputs"
            )
    elif isinstance(net, Recognizer):
        if not all(values.any() for answer in answers for values in answer.values()):
            raise UnsoundError("answers zeros to a face, of which no embedding can be made")
    elif isinstance(net, LivenessNet) and all(_adds_up(answer) for answer in answers):
        raise UnsoundError("answers probabilities; wanted are logits: cut off the nodes that make them probabilities")


def _adds_up(answer: Outputs) -> bool:
    """Whether a liveness net's one output is a set of probabilities."""
    (values,) = (each.astype(np.float64) for each in answer.values())
    return bool(values.min() >= 0 and abs(values.sum() - 1) <= ROUNDING)


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

ENOUGH_ROWS = 4
"""Different pictures in a batch, under which their mirror images are put to them."""

Named = tuple[str, NDArray[np.uint8]]
"""A picture's name and itself, UINT8 [H, W, 3] BGR."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The largest differences found for one output over `pictures`: to the net fed by hand, and of a batch to singles.

    Of a net that takes one picture at a time, not `batched`, the latter is 0.0.
    """

    model: str
    output: str
    pictures: int
    to_original: float
    batch_to_singles: float
    batched: bool = True

    @property
    def batches(self) -> str:
        """What was found of batches, in words."""
        return f"{self.batch_to_singles:.1e} between batch and singles" if self.batched else "one at a time"

    def __bool__(self) -> bool:
        return bool(np.max([self.to_original, self.batch_to_singles]) <= TOLERANCES[self.output])  # NaN is false


def prove(pack: Pack, weights: Mapping[str, Path], repository: Path, pictures: Sequence[Path]) -> list[Parity]:
    """One Parity an output of every net in `repository`, over the faces of `pictures`.

    `weights` are the published nets' files by their names.

    Raises ParityError when a picture shows no face, a net cannot be run or answers what its kind never does, or a
    difference is over its tolerance.
    """
    images = [(picture.name, decode(picture.read_bytes())) for picture in pictures]
    try:
        return _prove(pack, weights, repository, images)
    except NetFault as fault:
        raise ParityError(str(fault)) from None


def _prove(pack: Pack, weights: Mapping[str, Path], repository: Path, images: Sequence[Named]) -> list[Parity]:
    inferer = OnnxInferer(repository, pack.nets)
    report: list[Parity] = []
    for model, net in pack.nets.items():
        if inferer.serves(model):
            crops = crops_of(pack, inferer, model, images)
            report += _compared(model, net, Reference(net, weights[net.file]), repository, crops)
    for parity in report:
        if not parity:
            raise ParityError(
                f"{parity.model} {parity.output}: {parity.to_original:.2g} from the published net, "
                f"{parity.batches}; allowed {TOLERANCES[parity.output]:g}"
            )
    return report


def _compared(
    model: str, net: Net, reference: Reference, repository: Path, crops: NDArray[np.uint8]
) -> Iterable[Parity]:
    """A Parity for each output of one net. Raises ParityError or NetFault where there is nothing to compare."""
    rows = _varied(crops)
    try:
        raw = [reference.raw(row) for row in rows]
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise NetFault.run(model, 1, error) from None
    try:
        require_sound(net, raw)
    except UnsoundError as fault:
        raise ParityError(f"{model}: {fault}") from None
    expected = [reference.read(answer) for answer in raw]
    batched = net.max_batch > 1
    folder = repository / model / "1"
    graphs = [folder / GRAPH, *(path for path in [folder / CPU_GRAPH] if path.is_file())]
    answers = [_answers(model, graph, rows, batched) for graph in graphs]
    for output in expected[0]:
        yield Parity(
            model,
            output,
            len(crops),
            _largest(_difference(*pair, output) for alone, _ in answers for pair in zip(alone, expected, strict=True)),
            _largest(_difference(*pair, output) for each in answers for pair in zip(*each, strict=True)),
            batched,
        )


def _answers(model: str, graph: Path, rows: NDArray[np.uint8], batched: bool) -> tuple[list[Outputs], list[Outputs]]:
    """What a graph answers to each of the rows alone, and, where it takes more than one, to all in a batch."""
    run = _runner(model, graph)
    alone = [run(row[None])[0] for row in rows]
    return alone, run(rows) if batched else alone


def _varied(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The crops, and where few of them differ, their mirror images too: a batch of one proves nothing of batches."""
    if len({crop.tobytes() for crop in crops}) >= ENOUGH_ROWS:
        return crops
    return np.concatenate([crops, crops[:, :, ::-1]])


def _runner(model: str, path: Path) -> Callable[[NDArray[np.uint8]], list[Outputs]]:
    """Runs a graph on a whole batch, which the inferer would cut into pieces that suit a CPU; answers row by row."""
    opened = session(path)
    names = [output.name for output in opened.get_outputs()]
    source = opened.get_inputs()[0].name

    def run(batch: NDArray[np.uint8]) -> list[Outputs]:
        try:
            outputs = dict(zip(names, opened.run(names, {source: batch}), strict=True))
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            raise NetFault.run(model, len(batch), error) from None
        for name, values in outputs.items():
            if len(values) != len(batch):
                raise ParityError(
                    f"{model}: answers {len(values)} rows of {name} to a batch of {len(batch)}{ONE_AT_A_TIME}"
                )
        return [{name: values[i].astype(np.float32) for name, values in outputs.items()} for i in range(len(batch))]

    return run


def crops_of(pack: Pack, inferer: OnnxInferer, model: str, images: Sequence[Named]) -> NDArray[np.uint8]:
    """What `model` is fed for these images: UINT8 [B, H, W, 3]. Raises ParityError, naming one that shows no face."""
    net = pack.nets[model]
    if isinstance(net, Detector):
        return np.stack([letterbox(image, net.height, net.width)[0] for _, image in images])
    crops = []
    for name, image in images:
        faces = Pipeline(pack, inferer).analyze(image, anti_spoofing=False, embeddings=False).faces
        if not len(faces):
            raise ParityError(f"{name}: no face; {_best_candidate(pack, inferer, image)}")
        if isinstance(net, Recognizer):
            template = np.array(net.template, dtype=np.float32)
            crops.append(aligned_crops(image, faces.landmarks, template, net.height, net.width))
        elif isinstance(net, LivenessNet):
            crops.append(context_crops(image, faces.boxes, net.crop_scale, net.height, net.width))
    return np.concatenate(crops)


def _best_candidate(pack: Pack, inferer: OnnxInferer, image: NDArray[np.uint8]) -> str:
    """Why an image has no face, in words."""
    best = 0.0
    for model, net in pack.detectors.items():
        answer = inferer.infer(model, letterbox(image, net.height, net.width)[0][None])
        best = max(best, float(answer[contract.SCORES].max()))
    if best >= pack.detector.min_score:
        return f"its best candidate scores {best:.2g}, but none has both a box of some size and landmarks apart"
    return f"its best candidate scores {best:.2g}, the pack's min_score is {pack.detector.min_score:g}"


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
