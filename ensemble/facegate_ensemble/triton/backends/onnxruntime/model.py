"""A Triton backend named "onnxruntime", for a server that has the Python backend only.

It serves `<model>/<version>/model.onnx`, or cpu.onnx beside it, from the same configuration that NVIDIA's own backend
takes, on a CPU, or where FACEGATE_PROVIDER is cuda on a GPU.
"""

from facegate_ensemble.runtime.onnx.session import CPU_GRAPH, GRAPH, OnnxSession, graph_for, provider_asked_for
from facegate_ensemble.triton.model_backend import NetModel


class TritonPythonModel(NetModel):
    """One instance of one net."""

    def open(self, folder, file, max_batch, device):
        provider = provider_asked_for()
        ours = file in ("", GRAPH, CPU_GRAPH)
        return OnnxSession(graph_for(folder, provider) if ours else folder / file, max_batch, provider, device)
