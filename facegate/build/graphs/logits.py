"""A liveness net must answer logits: a second softmax of its probabilities would make every verdict a near draw."""

from __future__ import annotations

import onnx

from facegate.build.graphs.errors import GraphError
from facegate_ensemble.pack import LivenessNet

PASSING_ON = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
"""Operators that change no value."""


def require_logits(net: LivenessNet, graph: onnx.GraphProto) -> None:
    """Raises GraphError when an output of `graph`, as it was published, is a Softmax's.

    A LogSoftmax's is no fault: the softmax of a log-softmax is the softmax of the logits.
    """
    makers = {output: node for node in graph.node for output in node.output}
    for output in graph.output:
        maker = makers.get(output.name)
        while maker is not None and maker.op_type in PASSING_ON:
            maker = makers.get(maker.input[0])
        if maker is not None and maker.op_type == "Softmax":
            raise GraphError(
                f"{net.file}: answers probabilities, since it ends in a Softmax; logits are wanted: cut the Softmax "
                f"off with onnx.utils.extract_model, so that what it takes, {maker.input[0]!r}, is the net's output"
            )
