"""Serves the pipeline and its models inside Triton's Python backend."""
