"""Which answers are those of a server that works, by a server made of answers."""

from __future__ import annotations

import json
import time

import httpx
import numpy as np
import pytest

from facegate.build.checks.known_answers import load_known_answers
from facegate.serve.canary import Canary, CanaryError, WrongAnswerError

FULL = (503, "RESOURCE_EXHAUSTED: 64 requests are waiting already")


@pytest.fixture(scope="module")
def known(repository):
    return load_known_answers(repository)


def right(known):
    """The known outputs by model."""
    return {each.model: dict(each.outputs) for each in known}


def canary(known, answers, counts=(0, 1, 2)):
    """Of a server that gives these answers, outputs or (status, text) by model, and whose count of answered requests
    is the next of `counts` each time."""
    counted = iter(counts)

    def answer(request):
        if request.url.path.endswith("/stats"):
            one = {"name": "face_verify", "inference_stats": {"success": {"count": next(counted)}}}
            return httpx.Response(200, json={"model_stats": [one]})
        given = answers[request.url.path.split("/")[3]]
        if isinstance(given, tuple):
            return httpx.Response(given[0], text=given[1])
        outputs = [
            {"name": name, "shape": list(np.shape(values)), "data": np.ravel(values).tolist()}
            for name, values in given.items()
        ]
        return httpx.Response(200, text=json.dumps({"outputs": outputs}))

    made = Canary("http://server", known)
    made._http = httpx.Client(base_url="http://server", transport=httpx.MockTransport(answer))
    return made


def test_the_known_answers_are_right(known):
    asked = canary(known, right(known), [7, 7])
    asked.ask()
    asked.ask()  # that nobody else asked is no fault


def test_known_are_a_live_face_a_spoof_and_their_embeddings(known):
    analyze, verify = known
    assert (analyze.model, verify.model) == ("face_analyze", "face_verify")
    live, spoof = analyze.outputs["ANTISPOOF_SCORE"]
    assert live > 0.99
    assert spoof < 0.01
    assert analyze.outputs["IS_REAL"].tolist() == [True, False]
    assert np.allclose(np.linalg.norm(analyze.outputs["EMBEDDINGS"], axis=1), 1, atol=1e-5)
    assert verify.outputs["DISTANCE"][0] < 0.57, "one person"
    assert sum(value.nbytes for each in known for value in each.inputs.values()) < 1 << 20


def test_limits_are_those_of_the_accuracy_check(known):
    analyze = known[0]
    assert analyze.limits == {"EMBEDDINGS": 0.001, "ANTISPOOF_SCORE": 0.02, "IS_REAL": 0.0}


@pytest.mark.parametrize(
    ("model", "output", "change"),
    [
        ("face_analyze", "ANTISPOOF_SCORE", lambda value: np.ones_like(value)),
        ("face_analyze", "ANTISPOOF_SCORE", lambda value: value[::-1]),
        ("face_analyze", "ANTISPOOF_SCORE", lambda value: value + np.array([0, 0.021])),
        ("face_analyze", "ANTISPOOF_SCORE", lambda value: value * np.nan),
        ("face_analyze", "ANTISPOOF_SCORE", lambda value: value[:1]),
        ("face_analyze", "IS_REAL", lambda value: np.array([True, True])),
        ("face_analyze", "EMBEDDINGS", lambda value: value[::-1]),
        ("face_analyze", "EMBEDDINGS", lambda value: value * 0),
        ("face_verify", "DISTANCE", lambda value: value * 0),
        ("face_verify", "BOX_2", lambda value: value + 100),
        ("face_verify", "BOX_1", lambda value: value * 0),
        ("face_verify", "ANTISPOOF_SCORE_2", lambda value: value + 0.9),
    ],
)
def test_a_wrong_output_is_named(known, model, output, change):
    answers = right(known)
    answers[model][output] = change(answers[model][output])
    with pytest.raises(WrongAnswerError, match=rf"{model}:? {output}"):
        canary(known, answers).ask()


def test_a_missing_output_is_a_wrong_answer(known):
    answers = right(known)
    del answers["face_analyze"]["IS_REAL"]
    with pytest.raises(WrongAnswerError, match="IS_REAL"):
        canary(known, answers).ask()


def test_a_face_that_is_not_found_is_a_wrong_answer(known):
    answers = right(known) | {"face_verify": (404, "NOT_FOUND: no face in image 1")}
    with pytest.raises(WrongAnswerError, match="face_detector"):
        canary(known, answers).ask()


@pytest.mark.parametrize("model", ["face_analyze", "face_verify"])
@pytest.mark.parametrize(
    "answer",
    [
        (500, "INTERNAL: a fault"),
        (404, "unknown model"),
        (503, "a proxy's own"),
        (501, "FAILED_PRECONDITION: minifasnet_v2 not served"),
    ],
)
def test_no_answer_is_not_a_wrong_answer(known, model, answer):
    with pytest.raises(CanaryError, match=rf"{model} answers {answer[0]}: ") as caught:
        canary(known, right(known) | {model: answer}).ask()
    assert not isinstance(caught.value, WrongAnswerError)


def test_a_full_server_works_as_long_as_it_answers_others(known, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    busy = canary(known, dict.fromkeys(right(known), FULL), [10, 25, 25, 25])
    for now in (0.0, 50.0, 100.0):  # noqa: B007 - what the clock says
        busy.ask()
    now = 111.0
    with pytest.raises(CanaryError, match="overloaded, and has answered nobody for 60 s"):
        busy.ask()
