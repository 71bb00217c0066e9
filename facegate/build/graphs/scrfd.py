"""SCRFD's raw outputs turned into boxes, scores and landmarks inside the graph.

With the cell's column and row c, r, the stride s and the distances l, t, r, b to the box's sides in strides
(deepinsight/insightface, python-package/insightface/model_zoo/scrfd.py), every anchor of a cell at its top left:
    score as it is, already through a sigmoid
    box = (c - l, r - t, c + r, r + b) * s
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from facegate.build.graphs.builder import Builder
from facegate.build.graphs.candidates import anchors, give, keep_best
from facegate.errors import GraphError
from facegate_ensemble.pack import STRIDES, Detector

SCORE, DISTANCES, POINTS = 1, 4, 10
"""Values for each anchor, by which the kinds of outputs are told apart."""


@dataclass(frozen=True, slots=True)
class Heads:
    """An SCRFD's outputs: names by kind, in the order of STRIDES, and how many anchors a cell has."""

    names: Mapping[int, list[str]]
    per_cell: int


def scrfd_heads(net: Detector, shapes: Mapping[str, tuple[int, ...]]) -> Heads:
    """Which output is which, from the shapes [A, kind] or [1, A, kind] of a run. Raises GraphError."""
    tables = [name for name in shapes if len(shapes[name]) >= 2]
    names: dict[int, list[str]] = {
        kind: sorted((name for name in tables if shapes[name][-1] == kind), key=lambda name: -shapes[name][-2])
        for kind in (SCORE, DISTANCES, POINTS)
    }
    cells = [(net.height // stride) * (net.width // stride) for stride in STRIDES]
    found = {kind: [shapes[name][-2] for name in names[kind]] for kind in names}
    per_cell = found[SCORE][0] // cells[0] if found[SCORE] else 0
    if per_cell < 1 or any(rows != [per_cell * count for count in cells] for rows in found.values()):
        raise GraphError(
            f"{net.file}: an scrfd of {net.height} x {net.width} has three outputs each of {SCORE}, {DISTANCES} and "
            f"{POINTS} values for an equal number of anchors in {cells} cells; this net's are {list(shapes.values())}"
        )
    return Heads(names, per_cell)


def free_heads(build: Builder, net: Detector, heads: Heads) -> None:
    """Give every output a batch dimension, [B, A, kind]: as published, an output holds one picture's anchors only."""
    producers = {output: node for node in build.graph.node for output in node.output}
    for kind, names in heads.names.items():
        for name in names:
            node = producers.get(name)
            found: dict[str, onnx.NodeProto] = {}
            while node is not None and node.op_type in ("Sigmoid", "Reshape", "Transpose") and "Transpose" not in found:
                found[node.op_type] = node
                node = producers.get(node.input[0])
            if not {"Reshape", "Transpose"} <= found.keys():
                raise GraphError(f"{net.file}: its output {name} does not end in a Transpose and a Reshape")
            del found["Transpose"].attribute[:]
            found["Transpose"].attribute.append(helper.make_attribute("perm", [0, 2, 3, 1]))
            found["Reshape"].input[1] = build.constant([0, -1, kind], np.int64)


def decode_scrfd(build: Builder, net: Detector, heads: Heads) -> None:
    """Replace the nine raw outputs by BOXES, SCORES and LANDMARKS."""
    scores, distances, points = (
        build.node("Concat", *heads.names[kind], axis=1) for kind in (SCORE, DISTANCES, POINTS)
    )
    grid = anchors(net.height, net.width, heads.per_cell)
    best = keep_best(build, net, grid, scores, distances, points)
    right_bottom = build.node("Split", best.boxes, outputs=2, axis=2, num_outputs=2)
    left_top = build.graph.node[-1].output[0]
    left_top = build.node("Mul", build.node("Sub", best.cell, left_top), best.stride)
    right_bottom = build.node("Mul", build.node("Add", best.cell, right_bottom), best.stride)
    give(build, best, left_top, right_bottom)
