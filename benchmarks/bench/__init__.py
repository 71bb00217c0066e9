"""How fast FaceGate is, and against what: the parts of `python -m benchmarks`."""
