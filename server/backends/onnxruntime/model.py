"""A Triton backend named "onnxruntime", for a server that has the Python backend only.

It serves `<model>/<version>/model.onnx` from the same configuration that NVIDIA's own backend takes, on a CPU, or where
FACEGATE_PROVIDER is cuda on a GPU.
"""

from ensemble.net_model import NetModel
from ensemble.onnx_session import OnnxSession, provider_asked_for


class TritonPythonModel(NetModel):
    """One instance of one net."""

    def open(self, folder, file, max_batch, device):
        return OnnxSession(folder / (file or "model.onnx"), max_batch, provider_asked_for(), device)
