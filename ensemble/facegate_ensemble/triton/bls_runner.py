"""Nets run by Triton, asked for from inside it (business logic scripting). Importable in Triton's stub only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from facegate_client import contract
from facegate_client.contract import Code
from facegate_ensemble.errors import RequestError
from facegate_ensemble.pack import Net
from facegate_ensemble.runtime.runner import Arrays, NetUnavailable
from facegate_ensemble.runtime.worker_pool import Lanes

FULL = ("maximum queue size", "timeout expired")
"""What Triton says of a request that a child's queue has no room for, or kept too long; it arrives as INTERNAL."""


class BlsInferer:
    """An Inferer over the models of the Triton that this process serves."""

    spreads = False

    def __init__(self, nets: Mapping[str, Net], threads: int) -> None:
        """`threads` wait for nets, or decode and crop, at a time."""
        self.lanes = Lanes(threads, "lane")
        self._nets = nets

    def chunk(self, net: str, rows: int) -> int:
        return self._nets[net].max_batch

    def serves(self, net: str) -> bool:
        return bool(pb_utils.is_model_ready(model_name=net))

    def infer(self, net: str, batch: NDArray[np.uint8]) -> Arrays:
        if not self.serves(net):
            raise NetUnavailable(net)
        names = self._nets[net].output_names
        request = pb_utils.InferenceRequest(
            model_name=net,
            requested_output_names=list(names),
            inputs=[pb_utils.Tensor(self._nets[net].input_name, np.ascontiguousarray(batch))],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        try:
            response = request.exec()
        except Exception as error:  # Triton's own type is not in every release
            _check_memory(str(error))
            raise
        if response.has_error():
            message = response.error().message()
            _check_memory(message)
            if any(each in message.lower() for each in FULL):
                raise RequestError(Code.RESOURCE_EXHAUSTED, f"{net} has too much to do; try again later")
            raise RuntimeError(f"{net}: {message}")
        return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in names}


def _check_memory(message: str) -> None:
    """Raises RequestError where Triton says that it had no room for a tensor, before or behind a model."""
    if contract.TRITON_MEMORY_FULL in message:
        raise RequestError(Code.RESOURCE_EXHAUSTED, contract.MEMORY_FULL_REASON)
