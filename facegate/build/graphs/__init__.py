"""ONNX graph work: the models of every pack converted to the same four served graphs."""
