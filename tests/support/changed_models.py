"""Repositories whose files a test has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from facegate.build.repository.manifest import write_manifest
from facegate_ensemble.runtime.onnx.session import CPU, graph_for

Node = tuple[str, list[str], str, dict[str, Any]]
"""Operator, inputs, output, attributes."""


def sealed(repository: Path) -> None:
    """Write the manifest of a changed repository, as if it had been built so."""
    write_manifest(repository, "a test's")


def liveness_graph(repository: Path, model: str) -> Path:
    """The file of a liveness model that the CPU runs."""
    return graph_for(repository / model / "1", CPU)


def append(path: Path, constants: Mapping[str, NDArray[Any]], nodes: Sequence[Node]) -> None:
    """Append nodes to a liveness model, whose own answer they read as "right" and give as PROBABILITIES. The file is
    overwritten in place."""
    model = onnx.load(path)
    last = next(node for node in model.graph.node if "PROBABILITIES" in node.output)
    last.output[:] = ["right"]
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    model.graph.node.extend(
        onnx.helper.make_node(operator, inputs, [output], **attributes)
        for operator, inputs, output, attributes in nodes
    )
    path.write_bytes(model.SerializeToString())


def say_live(path: Path) -> None:
    """Make a liveness model answer P(live) = 1 for every face."""
    constants = {"zero": np.float32(0), "live": np.array([0, 1, 0], np.float32)}
    append(path, constants, [("Mul", ["right", "zero"], "none", {}), ("Add", ["none", "live"], "PROBABILITIES", {})])
