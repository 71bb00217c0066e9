"""ONNX graph work: every pack's nets brought to the same four served graphs."""

from engines.graphs.served import SERVED_OPSET, GraphError, served_graph

__all__ = ["SERVED_OPSET", "GraphError", "served_graph"]
