"""Which answers are those of a server that works, by a server made of answers."""

from __future__ import annotations

import time

import httpx
import pytest

from server.canary import Canary, CanaryError

NO_FACE = (404, "NOT_FOUND: no face in image 1 and image 2")
FULL = (503, "RESOURCE_EXHAUSTED: 64 requests are waiting already")


def canary(analyze, verify, counts):
    """Of a server that answers so, and whose count of answered requests is the next of `counts` each time."""
    counted = iter(counts)

    def answer(request):
        if request.url.path.endswith("/stats"):
            one = {"name": "face_verify", "inference_stats": {"success": {"count": next(counted)}}}
            return httpx.Response(200, json={"model_stats": [one]})
        status, text = analyze if "face_analyze" in request.url.path else verify
        return httpx.Response(status, text=text)

    made = Canary("http://server")
    made._http = httpx.Client(base_url="http://server", transport=httpx.MockTransport(answer))
    return made


@pytest.mark.parametrize("analyze", [(200, "{}"), (501, "FAILED_PRECONDITION: minifasnet_v2 not served")])
def test_a_server_that_works(analyze):
    asked = canary(analyze, NO_FACE, [7, 7])
    asked.ask()
    asked.ask()  # that nobody else asked is no fault


@pytest.mark.parametrize(
    ("analyze", "verify"),
    [
        ((500, "INTERNAL: a fault"), NO_FACE),
        ((200, "{}"), (404, "unknown model")),
        ((200, "{}"), (200, "{}")),
        ((503, "a proxy's own"), NO_FACE),
        ((501, "no such method"), NO_FACE),
    ],
)
def test_a_server_that_does_not(analyze, verify):
    with pytest.raises(CanaryError, match=r"face_\w+ answers \d+: "):
        canary(analyze, verify, [0]).ask()


def test_a_full_server_works_as_long_as_it_answers_others(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    busy = canary(FULL, FULL, [10, 25, 25, 25])
    for now in (0.0, 50.0, 100.0):  # noqa: B007 - what the clock says
        busy.ask()
    now = 111.0
    with pytest.raises(CanaryError, match="overloaded, and has answered nobody for 60 s"):
        busy.ask()
