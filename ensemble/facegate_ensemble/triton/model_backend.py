"""A net as a model of Triton's Python backend. Importable in Triton's stub only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from facegate_client.contract import Code
from facegate_ensemble.runtime.in_process import Session
from facegate_ensemble.triton.error_ids import incident


class NetModel:
    """One instance of one net. The requests that Triton's dynamic batcher hands over together are run together."""

    session: Session
    """The net, open."""

    def open(self, folder: Path, file: str, max_batch: int, device: int) -> Session:
        """The net in the version's `folder`, on GPU number `device`; `file` is what its configuration names, or ""."""
        raise NotImplementedError

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"]) / args["model_version"]
        file = config.get("default_model_filename", "")
        self.session = self.open(folder, file, config["max_batch_size"], int(args["model_instance_device_id"]))
        self._name = args["model_name"]
        self._input = config["input"][0]["name"]
        self._outputs = [output["name"] for output in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        try:
            return self._answers(requests)
        except Exception:  # Triton itself would send its text to the caller: a traceback, with paths
            message = f"{Code.INTERNAL.value}: {incident(self._name)}"
            fault = pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL)
            return [pb_utils.InferenceResponse(error=fault) for _ in requests]

    def _answers(self, requests: list[Any]) -> list[Any]:
        batches = [pb_utils.get_input_tensor_by_name(request, self._input).as_numpy() for request in requests]
        together = batches[0] if len(batches) == 1 else np.concatenate(batches)
        answers = self.session.run(together)
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        rows = zip(*(np.split(answers[name], ends) for name in self._outputs), strict=True)
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(self._outputs, row, strict=True)])
            for row in rows
        ]
