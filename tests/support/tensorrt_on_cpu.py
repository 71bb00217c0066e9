"""Stands for NVIDIA's TensorRT backend, which needs a GPU: runs the graph that an engine was built of, on the CPU.

A Triton backend's model.py; the test that uses it copies it into a backend directory, and says by TRT_GRAPHS in the
environment which repository has the graphs.
"""

import os
from pathlib import Path

from facegate_ensemble.runtime.onnx.session import OnnxSession
from facegate_ensemble.triton.model_backend import NetModel


class TritonPythonModel(NetModel):
    """One instance of one net."""

    def open(self, folder, file, max_batch, device):
        assert (folder / (file or "model.plan")).is_file(), "an engine is what the backend would load"
        return OnnxSession(Path(os.environ["TRT_GRAPHS"]) / folder.parent.name / "1" / "model.onnx", max_batch)
