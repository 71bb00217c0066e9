"""ONNX graph work: every pack's nets brought to the same four served graphs."""

from facegate.build.graphs.errors import GraphError
from facegate.build.graphs.served import SERVED_OPSET, served_graph

__all__ = ["SERVED_OPSET", "GraphError", "served_graph"]
