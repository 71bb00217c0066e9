"""Recognizers made here: one of real weights that nobody has seen, and ones shaped like files that are not here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

BORDER = 8  # pixels
UNSEEN_SIDE, UNSEEN_DIMENSION = 112 + 2 * BORDER, 256
_RNG = np.random.default_rng(3)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unseen(mobilefacenet: Path, path: Path) -> Path:
    """MobileFaceNet in a coat: 128 x 128 with a border about the face, BGR, values -1 to 1, 256 values.

    Fed rightly it says what MobileFaceNet says, twice; fed in any other way it says something else.
    """
    inner = compose.add_prefix(onnx.load(mobilefacenet), "inner/")
    (opset,) = [entry.version for entry in inner.opset_import if entry.domain == ""]
    taken, given = inner.graph.input[0].name, inner.graph.output[0].name
    constants = {
        "half": np.float32(127.5),
        "mean": np.array([123.675, 116.28, 103.53], np.float32).reshape(1, 3, 1, 1),
        "std": np.array([58.395, 57.12, 57.375], np.float32).reshape(1, 3, 1, 1),
        "bgr": np.array([2, 1, 0]),
        "begin": np.array([BORDER, BORDER]),
        "end": np.array([BORDER + 112, BORDER + 112]),
        "axes": np.array([2, 3]),
    }
    nodes = [
        helper.make_node("Mul", ["face", "half"], ["scaled"]),
        helper.make_node("Add", ["scaled", "half"], ["pixels"]),
        helper.make_node("Gather", ["pixels", "bgr"], ["rgb"], axis=1),
        helper.make_node("Slice", ["rgb", "begin", "end", "axes"], ["cut"]),
        helper.make_node("Sub", ["cut", "mean"], ["shifted"]),
        helper.make_node("Div", ["shifted", "std"], [taken]),
        *inner.graph.node,
        helper.make_node("Concat", [given, given], ["twice"], axis=1),
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    _save(path, nodes, [*initializers, *inner.graph.initializer], UNSEEN_SIDE, UNSEEN_DIMENSION, opset, "face", "twice")
    return path


def unseen_template(template: Any) -> list[list[float]]:
    """Where the five points lie in the coat's crop."""
    return [[x + BORDER, y + BORDER] for x, y in template]


def like_sface(path: Path) -> Path:
    """A net of SFace's signature: a batch of one baked in, its own normalisation, a fully connected end, 128 values."""
    return _classic(path, "data", "fc1", 128, batch=1, own_normalisation=True)


def like_arcface(path: Path) -> Path:
    """A net of the w600k files' signature: any batch, a fully connected end with a normalised output, 512 values."""
    return _classic(path, "input.1", "683", 512, batch="None", own_normalisation=False)


def _classic(path: Path, taken: str, given: str, values: int, *, batch: int | str, own_normalisation: bool) -> Path:
    nodes, begin = [], taken
    if own_normalisation:
        nodes += [
            helper.make_node("Sub", [taken, "mean"], ["shifted"]),
            helper.make_node("Mul", ["shifted", "scale"], ["normal"]),
        ]
        begin = "normal"
    weights = {
        "mean": np.full((1, 3, 1, 1), 127.5),
        "scale": np.full((1, 3, 1, 1), 1 / 128),
        "conv": _RNG.normal(size=(8, 3, 7, 7)) / 12,
        "slope": np.full((8, 1, 1), 0.25),
        "full": _RNG.normal(size=(values, 8 * 16 * 16)) / 45,
        "bias": _RNG.normal(size=values) / 10,
        **{name: _RNG.uniform(0.5, 1.5, values) for name in ("gamma", "beta", "mu", "variance")},
    }
    nodes += [
        helper.make_node("Conv", [begin, "conv"], ["c"], kernel_shape=[7, 7], strides=[7, 7]),
        helper.make_node("PRelu", ["c", "slope"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"], axis=1),
        helper.make_node("Gemm", ["f", "full", "bias"], ["g"], transB=1),
        helper.make_node("BatchNormalization", ["g", "gamma", "beta", "mu", "variance"], [given]),
    ]
    used = {name for node in nodes for name in node.input}
    initializers = [numpy_helper.from_array(v.astype(np.float32), name) for name, v in weights.items() if name in used]
    _save(path, nodes, initializers, 112, values, 12, taken, given, batch)
    return path


def _save(
    path: Path,
    nodes: list[Any],
    initializers: list[Any],
    side: int,
    values: int,
    opset: int,
    taken: str,
    given: str,
    batch: int | str = 1,
) -> None:
    inputs = [helper.make_tensor_value_info(taken, TensorProto.FLOAT, [batch, 3, side, side])]
    outputs = [helper.make_tensor_value_info(given, TensorProto.FLOAT, [batch, values])]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
