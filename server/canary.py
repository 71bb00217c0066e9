"""Requests that only a working server answers: readiness stays true when the process behind a model is dead."""

from __future__ import annotations

import httpx

from facegate_client import contract

TIMEOUT_SECONDS = 8.0
"""A full server makes the canary wait for a permit, two seconds at most, and then for a core."""

_PIXELS = 2


class CanaryError(RuntimeError):
    """The server does not answer as a working one does."""


def ask(http_port: int) -> None:
    """Send a black picture of 2 x 2 pixels to both ensemble models. Raises CanaryError.

    "No face" and "overloaded" are answers of a server that works.
    """
    for model, suffixes, fine in (
        (contract.ANALYZE, ("",), (200, 503)),
        (contract.VERIFY, ("_1", "_2"), (404, 503)),
    ):
        inputs = [tensor for suffix in suffixes for tensor in _black(suffix)]
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{http_port}/v2/models/{model}/infer",
                json={"inputs": inputs},
                timeout=TIMEOUT_SECONDS,
            )
        except httpx.HTTPError as error:
            raise CanaryError(f"{model} does not answer: {type(error).__name__}") from None
        if answer.status_code not in fine or (answer.status_code == 404 and "NOT_FOUND: no face" not in answer.text):
            raise CanaryError(f"{model} answers {answer.status_code}: {answer.text[:200]}")


def _black(suffix: str) -> list[dict[str, object]]:
    values = _PIXELS * _PIXELS * 3
    return [
        {"name": contract.FRAME + suffix, "datatype": "UINT8", "shape": [values], "data": [0] * values},
        {"name": contract.FRAME_SHAPE + suffix, "datatype": "INT32", "shape": [2], "data": [_PIXELS, _PIXELS]},
    ]
