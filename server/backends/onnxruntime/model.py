"""A Triton backend named "onnxruntime", for a server that has the Python backend only.

It serves `<model>/<version>/model.onnx` from the same configuration that NVIDIA's own backend takes. The requests
that Triton's dynamic batcher hands over together are run together.
"""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from ensemble.onnx_session import OnnxSession


class TritonPythonModel:
    """One instance of one net."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        file = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / file
        self.net = OnnxSession(path, config["max_batch_size"])
        self.input = config["input"][0]["name"]
        self.outputs = [output["name"] for output in config["output"]]

    def execute(self, requests):
        batches = [pb_utils.get_input_tensor_by_name(request, self.input).as_numpy() for request in requests]
        together = batches[0] if len(batches) == 1 else np.concatenate(batches)
        answers = self.net.run(together)
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        rows = zip(*(np.split(answers[name], ends) for name in self.outputs), strict=True)
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(self.outputs, row, strict=True)])
            for row in rows
        ]
