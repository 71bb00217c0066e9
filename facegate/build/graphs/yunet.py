"""YuNet's raw outputs turned into boxes, scores and landmarks inside the graph.

YuNet has one anchor a cell. With the cell's column and row c, r and the stride s (OpenCV,
modules/objdetect/src/face_detect.cpp):
    score = sqrt(cls * obj), both clipped to [0, 1]
    centre = (c + dx, r + dy) * s;  size = exp(w, h) * s
"""

from __future__ import annotations

from collections.abc import Mapping

from facegate.build.graphs.builder import Builder
from facegate.build.graphs.candidates import anchors, give, keep_best
from facegate.build.graphs.errors import GraphError
from facegate_ensemble.pack import STRIDES, Detector

KINDS = ("cls", "obj", "bbox", "kps")


def decode_yunet(build: Builder, net: Detector, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Replace the twelve raw outputs, of these `shapes` in a run, by BOXES, SCORES and LANDMARKS.

    Raises GraphError for another net's outputs.
    """
    raw = {kind: _concatenated(build, net, kind) for kind in KINDS}
    for stride in STRIDES:
        cells = (net.height // stride) * (net.width // stride)
        if found := {shapes[f"{kind}_{stride}"][:2] for kind in KINDS} - {(1, cells)}:
            raise GraphError(
                f"{net.file}: a yunet of {net.height} x {net.width} answers [1, {cells}, values] at stride {stride}; "
                f"this net answers {[*found.pop(), 'values']}"
            )
    scores = build.node("Sqrt", build.node("Mul", _clipped(build, raw["cls"]), _clipped(build, raw["obj"])))
    best = keep_best(build, net, anchors(net.height, net.width, 1), scores, raw["bbox"], raw["kps"])

    log_size = build.node("Split", best.boxes, outputs=2, axis=2, num_outputs=2)
    offset = build.graph.node[-1].output[0]
    centre = build.node("Mul", build.node("Add", offset, best.cell), best.stride)
    half = build.node("Mul", build.node("Exp", log_size), build.node("Mul", best.stride, build.constant([0.5])))
    give(build, best, build.node("Sub", centre, half), build.node("Add", centre, half))


def _concatenated(build: Builder, net: Detector, kind: str) -> str:
    wanted, there = [f"{kind}_{stride}" for stride in STRIDES], {value.name for value in build.graph.output}
    if not there.issuperset(wanted):
        raise GraphError(f"{net.file}: a yunet has outputs {', '.join(wanted)}; this net's are {', '.join(there)}")
    return build.node("Concat", *wanted, axis=1)


def _clipped(build: Builder, value: str) -> str:
    return build.node("Clip", value, build.constant(0.0), build.constant(1.0))
