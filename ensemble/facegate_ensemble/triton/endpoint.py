"""A Triton model's requests, admitted and answered on an event loop of its own, and worked on in lanes. Importable in
Triton's stub only.

`execute` returns at once and each request's answer goes through its response sender, so that one instance holds many
requests at a time: Triton itself gives a model of max_batch_size 0 one request per call and waits for its return.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import triton_python_backend_utils as pb_utils

from facegate_client.contract import Code
from facegate_ensemble.counts import OK
from facegate_ensemble.errors import RequestError, invalid
from facegate_ensemble.pack import Net, Pack
from facegate_ensemble.pipeline.pipeline import Pipeline
from facegate_ensemble.runtime.cores import cores, lane_count
from facegate_ensemble.runtime.runner import Inferer
from facegate_ensemble.stage_timers import QUEUE, measured, spent
from facegate_ensemble.triton.admission import Admission
from facegate_ensemble.triton.bls_runner import BlsInferer
from facegate_ensemble.triton.drain import Drain
from facegate_ensemble.triton.error_ids import incident, log
from facegate_ensemble.triton.handlers import Outputs
from facegate_ensemble.triton.metrics import CANARY, Metrics
from facegate_ensemble.triton.request import Inputs

Handler = Callable[[Pipeline, Inputs, str], Outputs]

TRITON_CODES = {
    Code.INVALID_ARGUMENT: "INVALID_ARG",
    Code.NOT_FOUND: "NOT_FOUND",
    Code.FAILED_PRECONDITION: "UNSUPPORTED",
    Code.RESOURCE_EXHAUSTED: "UNAVAILABLE",
    Code.INTERNAL: "INTERNAL",
}
"""Names in pb_utils.TritonError, which is not there yet when Triton imports a model to complete its configuration."""


class Endpoint:
    """Answers the requests of one model with `handler`.

    The model's configuration gives, as parameters: `pack` (JSON), `inferer` ("bls", "onnxruntime" or "tensorrt",
    which the environment variable FACEGATE_INFERER overrides), `permits` ("auto": two a lane), `queue_size`,
    `queue_seconds`.
    """

    def __init__(self, args: dict[str, str], handler: Handler) -> None:
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self._name = args["model_name"]
        self._handler = handler
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        pack = Pack.model_validate_json(parameters["pack"])
        repository = Path(args["model_repository"]).parent
        kind = os.environ.get("FACEGATE_INFERER", parameters["inferer"])
        permits = 2 * lane_count() if parameters["permits"] == "auto" else int(parameters["permits"])
        self._pipeline = Pipeline(pack, _inferer(kind, repository, pack.nets, permits))
        gc.freeze()  # what is here stays: no collection has to look through it again
        cv2.setNumThreads(math.ceil(cores() / lane_count()))  # more would only wait for one another
        self._loop = asyncio.new_event_loop()
        self._queue_seconds = float(parameters["queue_seconds"])
        self._admission = Admission(permits, int(parameters["queue_size"]), self._queue_seconds)
        self._drain = Drain(os.environ.get("FACEGATE_DRAIN"))
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"{self._name} loop")
        self._thread.start()
        threading.Thread(target=_end_with, args=(os.getppid(),), name=f"{self._name} parent", daemon=True).start()
        served = {"pack": pack.name, "licence": pack.licence}
        self._metrics = Metrics(pb_utils.MetricFamily, self._name, served, self._admission)

    def submit(self, requests: list[Any]) -> None:
        """Take requests over; each is answered later, in any order."""
        for request in requests:
            asyncio.run_coroutine_threadsafe(self._answer(request, request.get_response_sender()), self._loop)

    def close(self) -> None:
        """Finish what was taken over, then stop."""
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._pipeline.lanes.close()
        self._metrics.close()

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _answer(self, request: Any, sender: Any) -> None:
        with measured() as seconds:
            code, outputs = await self._send_answer(request, sender)
        if request.request_id() != CANARY:
            self._metrics.count(code, outputs, seconds)

    async def _send_answer(self, request: Any, sender: Any) -> tuple[str, Outputs]:
        """Returns OK and the outputs, or an error's code and none."""
        try:
            with self._drain.request():
                response, code, outputs = await self._response(request)
                _send(self._name, sender, response)
                return code, outputs
        except RequestError as error:
            _send(self._name, sender, _refusal(error))
            return error.code.value, {}

    async def _response(self, request: Any) -> tuple[Any, str, Outputs]:
        try:
            async with self._admission.permit():
                handle = partial(self._handle, request, time.perf_counter())
                outputs = await self._on_a_lane(handle)
            wanted = [name for name in self._outputs if name in outputs and name in request.requested_output_names()]
            response = pb_utils.InferenceResponse([pb_utils.Tensor(name, outputs[name]) for name in wanted])
            return response, OK, outputs
        except RequestError as error:
            return _refusal(error), error.code.value, {}
        except BaseException:  # whatever happened, the caller is answered
            return _refusal(RequestError(Code.INTERNAL, incident(self._name))), Code.INTERNAL.value, {}

    async def _on_a_lane(self, handle: Callable[[], Outputs]) -> Outputs:
        """Who has a permit may still wait for a lane, as long as for a permit."""
        work = self._pipeline.lanes.start(handle)
        limit = self._loop.call_later(self._queue_seconds, work.cancel)  # does nothing to what has begun
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            why = f"no thread within {self._queue_seconds:g} s; try again later"
            raise RequestError(Code.RESOURCE_EXHAUSTED, why) from None
        finally:
            limit.cancel()

    def _handle(self, request: Any, permitted: float) -> Outputs:
        spent(QUEUE, time.perf_counter() - permitted)
        if request.is_cancelled():
            raise RequestError(Code.RESOURCE_EXHAUSTED, "the caller gave up while the request was waiting")
        return self._handler(self._pipeline, self._read(request), request.parameters())

    def _read(self, request: Any) -> Inputs:
        inputs = {}
        for name in self._inputs:
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is not None:
                try:
                    inputs[name] = tensor.as_numpy()
                except Exception:  # a BYTES tensor whose lengths do not add up
                    raise invalid(f"{name} cannot be read") from None
        return inputs


def _inferer(kind: str, repository: Path, nets: Mapping[str, Net], permits: int) -> Inferer:
    """Imports what it needs and no more: under BLS this process has neither ONNX Runtime nor TensorRT in its memory."""
    if kind == "bls":
        return BlsInferer(nets, 4 * permits)  # a request waits for three nets at a time
    if kind == "onnxruntime":
        from facegate_ensemble.runtime.onnx.runner import OnnxInferer
        from facegate_ensemble.runtime.onnx.session import provider_asked_for

        return OnnxInferer(repository, nets, provider_asked_for())
    if kind == "tensorrt":
        from facegate_ensemble.runtime.tensorrt.runner import TensorRtInferer

        return TensorRtInferer(repository, nets)
    raise ValueError(f"the inferer is bls, onnxruntime or tensorrt, not {kind!r}")


def _end_with(parent: int) -> None:
    """End this process when Triton is gone: a thread that waits for Triton's answer would wait for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _send(model: str, sender: Any, response: Any) -> None:
    try:
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except BaseException:
        # A sender that failed cannot be used again, and its caller would wait for ever: the watcher starts anew.
        log(f"{model}: an answer cannot be sent\n{traceback.format_exc()}")
        os._exit(1)


def _refusal(error: RequestError) -> Any:
    return pb_utils.InferenceResponse(
        error=pb_utils.TritonError(str(error), getattr(pb_utils.TritonError, TRITON_CODES[error.code]))
    )
