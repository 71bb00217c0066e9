"""Requests that only a working server answers: readiness stays true when the process behind a model is dead."""

from __future__ import annotations

import struct
import time
from typing import Any

import httpx

from ensemble.metrics import CANARY
from facegate_client import contract
from facegate_client.contract import Code

TIMEOUT_SECONDS = 8.0
"""A full server makes the canary wait for a permit, and then for a lane, two seconds at most each."""

STUCK_SECONDS = 60.0
"""Requests with as many faces as are allowed, as many as are permitted, can keep two cores busy for most of that."""

_SIDE = 16
_FACE = (2, 2, 14, 14, 5, 6, 11, 6, 8, 8, 6, 11, 10, 11)  # pixels: a box, and five landmarks in it


class CanaryError(RuntimeError):
    """The server does not answer as a working one does."""


class Canary:
    """Asks one server, at `url`, in such a way that between them the requests reach every net."""

    def __init__(self, url: str) -> None:
        # Triton waits for open HTTP connections before it drains, so none is kept. No proxy is asked for this machine.
        unkept = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False, limits=unkept)
        self._answered, self._progress = -1, time.monotonic()

    def ask(self) -> None:
        """Send a black picture to both ensemble models. Raises CanaryError.

        "No face", "no liveness nets" and "overloaded" are answers of a server that works; the last one only while
        others are answered.
        """
        face = struct.pack("<14f", *_FACE)
        faces_in = {
            "name": contract.FACES_IN,
            "datatype": "UINT8",
            "shape": [len(face)],
            "data": list(face),
        }
        busy = self._send(contract.ANALYZE, [*_black(""), faces_in], {200: "", 501: Code.FAILED_PRECONDITION})
        busy |= self._send(
            contract.VERIFY, [*_black("_1"), *_black("_2")], {404: Code.NOT_FOUND, 501: Code.FAILED_PRECONDITION}
        )
        answered = self._count_answered()
        if not busy or answered != self._answered:
            self._answered, self._progress = answered, time.monotonic()
        elif time.monotonic() > self._progress + STUCK_SECONDS:
            raise CanaryError(f"it says that it is overloaded, and has answered nobody for {STUCK_SECONDS:g} s")

    def _send(self, model: str, inputs: list[dict[str, Any]], fine: dict[int, str]) -> bool:
        """Whether the server was too busy to answer. `fine` is what an answer's text holds, by its status."""
        request = {"id": CANARY, "inputs": inputs, "parameters": {contract.ANTI_SPOOFING: True}}
        answer = self._call("POST", f"/v2/models/{model}/infer", json=request)
        expected = {**fine, 503: Code.RESOURCE_EXHAUSTED}
        if answer.status_code not in expected or expected[answer.status_code] not in answer.text:
            raise CanaryError(f"{model} answers {answer.status_code}: {answer.text[:200]}")
        return answer.status_code == 503

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


def _black(suffix: str) -> list[dict[str, Any]]:
    values = _SIDE * _SIDE * 3
    return [
        {"name": contract.FRAME + suffix, "datatype": "UINT8", "shape": [values], "data": [0] * values},
        {"name": contract.FRAME_SHAPE + suffix, "datatype": "INT32", "shape": [2], "data": [_SIDE, _SIDE]},
    ]
