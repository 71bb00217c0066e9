"""A Triton backend named "tensorrt", for a server that has the Python backend only.

It serves the engine `<model>/<version>/model.plan`, else `model.rtx` (TensorRT for RTX), from the same configuration
that NVIDIA's own backend takes.
"""

from ensemble.net_model import NetModel
from ensemble.tensorrt_engine import engine_in
from ensemble.tensorrt_session import TensorRtSession


class TritonPythonModel(NetModel):
    """One instance of one net."""

    def open(self, folder, file, max_batch, device):
        own = file not in ("", "model.plan")  # the latter is what Triton writes where a configuration names none
        return TensorRtSession(folder / file if own else engine_in(folder), max_batch, device)

    def finalize(self):
        self.session.close()
