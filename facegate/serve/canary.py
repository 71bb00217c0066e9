"""Requests with known answers: Triton reports ready even if the process behind a model is dead or answers wrongly."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from facegate.build.checks.known_answers import KnownAnswer
from facegate_client import contract
from facegate_client.contract import Code, SeveralFaces
from facegate_ensemble.triton.metrics import CANARY

TIMEOUT_SECONDS = 8.0
"""A full server makes the canary wait for a permit, and then for a lane, two seconds at most each."""

STUCK_SECONDS = 60.0
"""Requests with as many faces as are allowed, as many as are permitted, can keep two cores busy for most of that."""

MODELS = {
    contract.EMBEDDINGS: "face_recognizer",
    contract.DISTANCE: "face_recognizer or face_detector",
    contract.ANTISPOOF_SCORE: "the liveness models",
    contract.IS_REAL: "the liveness models",
}
"""The models that an output depends on most, by its name without a number; BOX_n depends on a detector."""


class CanaryError(RuntimeError):
    """The server does not answer as a working one does."""


class WrongAnswerError(CanaryError):
    """The server answers, and the answer is not the known one."""


class Canary:
    """Sends `known` requests to the server at `url` and compares the answers."""

    def __init__(self, url: str, known: Sequence[KnownAnswer]) -> None:
        # Triton waits for open HTTP connections before it drains, so none is kept. No proxy is asked for this machine.
        unkept = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False, limits=unkept)
        self._known = [(each, *_encoded(each)) for each in known]
        self._answered, self._progress = -1, time.monotonic()

    def ask(self) -> None:
        """Send the requests. Raises WrongAnswerError, or CanaryError where there is no answer.

        "Overloaded" is an answer of a server that works while it answers others.
        """
        busy = False
        for known, body, headers in self._known:
            answer = self._call("POST", f"/v2/models/{known.model}/infer", content=body, headers=headers)
            if answer.status_code == 200:
                _compare(known, answer)
            elif answer.status_code == 404 and Code.NOT_FOUND in answer.text:
                raise WrongAnswerError(
                    f"{known.model}: {' or '.join(sorted({*known.found_by}))} found no face in a sample picture"
                )
            elif answer.status_code == 503 and Code.RESOURCE_EXHAUSTED in answer.text:
                busy = True
            else:
                raise CanaryError(f"{known.model} answers {answer.status_code}: {answer.text[:200]}")
        answered = self._count_answered()
        if not busy or answered != self._answered:
            self._answered, self._progress = answered, time.monotonic()
        elif time.monotonic() > self._progress + STUCK_SECONDS:
            raise CanaryError(f"it says that it is overloaded, and has answered nobody for {STUCK_SECONDS:g} s")

    def _count_answered(self) -> int:
        """Requests that both models have answered so far, without a refusal."""
        statistics = self._call("GET", "/v2/models/stats").json()["model_stats"]
        asked = (contract.ANALYZE, contract.VERIFY)
        return sum(int(model["inference_stats"]["success"]["count"]) for model in statistics if model["name"] in asked)

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise CanaryError(f"{path} does not answer: {type(error).__name__}") from None


def _encoded(known: KnownAnswer) -> tuple[bytes, dict[str, str]]:
    """A request's body, with the tensors in binary, and its headers:
    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md"""
    inputs = [
        {
            "name": name,
            "datatype": {"uint8": "UINT8", "int32": "INT32"}[value.dtype.name],
            "shape": list(value.shape),
            "parameters": {"binary_data_size": value.nbytes},
        }
        for name, value in known.inputs.items()
    ]
    parameters: dict[str, Any] = {contract.ANTI_SPOOFING: known.anti_spoofing}
    if known.model == contract.VERIFY:
        parameters[contract.SEVERAL_FACES] = SeveralFaces.BEST.value  # the server's own default may refuse the picture
    request = {
        "id": CANARY,
        "parameters": parameters,
        "inputs": inputs,
        "outputs": [{"name": name} for name in known.outputs],
    }
    head = json.dumps(request).encode()
    body = b"".join([head, *(value.tobytes() for value in known.inputs.values())])
    return body, {"Inference-Header-Content-Length": str(len(head))}


def _compare(known: KnownAnswer, answer: httpx.Response) -> None:
    """Raises WrongAnswerError unless each output is the known one within its limit."""
    received = {output["name"]: output for output in answer.json()["outputs"]}
    for name, expected in known.outputs.items():
        if name not in received or received[name]["shape"] != list(expected.shape):
            raise WrongAnswerError(f"{known.model}: {name} is not there or has another shape")
        values = np.array(received[name]["data"], np.float64).reshape(expected.shape)
        difference = _difference(name, expected.astype(np.float64), values)
        if not difference <= known.limits[name]:  # NaN is not
            box = name.startswith(contract.BOX)
            model = known.found_by[int(name[-1]) - 1] if box else MODELS[name.rstrip("_12")]
            shown = ""
            if values.size <= 4:
                shown = f": expected {_shown(expected)}, received {_shown(values)}"
            raise WrongAnswerError(
                f"wrong answer of {model}: {known.model} {name} differs from the known answer to the sample pictures "
                f"by {difference:.2g}, allowed {known.limits[name]:g}{shown}"
            )


def _difference(name: str, expected: NDArray[np.float64], received: NDArray[np.float64]) -> float:
    """In the unit of KnownAnswer.limits."""
    if name == contract.EMBEDDINGS:
        return float(np.max(1 - (expected * received).sum(axis=1)))
    if name.startswith(contract.BOX):
        return 1 - _overlap(expected, received)
    return float(np.max(np.abs(expected - received)))


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes, x1 y1 x2 y2."""
    shared = float(np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)))
    return shared / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


def _shown(values: NDArray[Any]) -> str:
    return f"[{', '.join(f'{float(value):.4g}' for value in values.ravel())}]"
