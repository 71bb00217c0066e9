"""A Triton backend named "tensorrt", for a server that has the Python backend only.

It serves the engine `<model>/<version>/model.plan`, else `model.rtx` (TensorRT for RTX), from the same configuration
that NVIDIA's own backend takes.
"""

from facegate_ensemble.runtime.tensorrt.engine import engine_in
from facegate_ensemble.runtime.tensorrt.session import TensorRtSession
from facegate_ensemble.triton.model_backend import NetModel


class TritonPythonModel(NetModel):
    """One instance of one net."""

    def open(self, folder, file, max_batch, device):
        own = file not in ("", "model.plan")  # the latter is what Triton writes where a configuration names none
        return TensorRtSession(folder / file if own else engine_in(folder), max_batch, device)

    def finalize(self):
        self.session.close()
