"""What a server's metrics say, against what it answered."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from support.impatient import serving_impatiently
from support.serving import Server
from support.wire import encoded, infer

MODELS = ("face_analyze", "face_verify")


def scraped(server: Server) -> dict[str, float]:
    """Our metrics by name and labels, the model's first, as in `requests_total face_verify code=OK`."""
    text = httpx.get(f"http://{server.metrics}/metrics").text
    values = {}
    for name, labels, value in re.findall(r"^facegate_(\w+){(.*)} (\S+)$", text, re.MULTILINE):
        named = dict(re.findall(r'(\w+)="(.*?)"', labels))
        values[" ".join([name, named.pop("model"), *(f"{key}={named[key]}" for key in sorted(named))])] = float(value)
    return values


def answered(metrics: dict[str, float]) -> float:
    """Requests whose numbers are all there: the last one is handed on last."""
    return sum(metrics[f"stage_seconds_count {model} stage=total"] for model in MODELS)


def growth(server: Server, before: dict[str, float], requests: int) -> dict[str, float]:
    """What has grown since `before`, once so many requests are there. Of times, their number only."""
    deadline = time.monotonic() + 10
    while answered(now := scraped(server)) < answered(before) + requests:
        assert time.monotonic() < deadline, "not counted"
        time.sleep(0.1)
    varying = ("stage_seconds_bucket", "stage_seconds_sum", "permits_in_use")
    return {
        name: value - before[name]
        for name, value in now.items()
        if value != before[name] and not name.startswith(varying)
    }


@pytest.fixture(scope="module", params=["onnxruntime", "bls"])
def counting(request, repository, tmp_path_factory):
    """A server that nobody else asks, but its watcher, often."""
    with serving_impatiently(tmp_path_factory.mktemp("counting") / "log", repository, request.param) as running:
        yield running


def test_every_series_is_there_from_the_start(counting, pack):
    now = scraped(counting)
    codes = ["OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "INTERNAL"]
    for model in MODELS:
        assert [now[f"requests_total {model} code={code}"] for code in codes] == [0] * 6
        assert now[f"permits {model}"] > 0
        assert now[f"info {model} licence={pack.licence} pack={pack.name}"] == 1
        assert now[f"stage_seconds_bucket {model} le=+Inf stage=queue"] == 0


def test_answers_are_counted_for_what_they_say(counting, samples, pictures):
    person, spoof = samples["image_T1.jpg"], samples["image_F2.jpg"]
    pair = [encoded("IMAGE_1", person), encoded("IMAGE_2", spoof)]
    black = [("FRAME_2", np.zeros(48, np.uint8)), ("FRAME_SHAPE_2", np.array([4, 4], np.int32))]
    nobody = [encoded("IMAGE_1", person), *black]
    group = [encoded("IMAGE", pictures / "detection/t1.jpg")]
    before = scraped(counting)
    for model, tensors, parameters in (
        ("face_verify", pair, {}),
        ("face_verify", pair, {"threshold": 0.2}),
        ("face_verify", pair, {"anti_spoofing": True}),
        ("face_verify", nobody, {"anti_spoofing": True}),
        ("face_verify", pair, {"threshold": -1.0}),
        ("face_analyze", group, {}),
        ("face_analyze", group, {"several_faces": "largest", "embeddings": False}),
        ("face_analyze", group, {"anti_spoofing": True, "embeddings": False}),
    ):
        last = infer("grpc", counting.grpc, model, tensors, **parameters).outputs
    real = float(last["IS_REAL"].sum())
    grown = growth(counting, before, 8)
    assert grown.pop("liveness_total face_analyze verdict=real", 0) == real
    assert grown.pop("liveness_total face_analyze verdict=fake", 0) == 6 - real
    assert grown == {
        "requests_total face_verify code=OK": 3,
        "requests_total face_verify code=NOT_FOUND": 1,
        "requests_total face_verify code=INVALID_ARGUMENT": 1,
        "verifications_total face_verify outcome=verified": 1,
        "verifications_total face_verify outcome=different": 1,
        "verifications_total face_verify outcome=vetoed": 1,
        "faces_total face_verify": 6,
        "liveness_total face_verify verdict=real": 1,
        "liveness_total face_verify verdict=fake": 1,
        "stage_seconds_count face_verify stage=queue": 5,
        "stage_seconds_count face_verify stage=decode": 4,
        "stage_seconds_count face_verify stage=detect": 4,
        "stage_seconds_count face_verify stage=recognise": 3,
        "stage_seconds_count face_verify stage=liveness": 1,
        "stage_seconds_count face_verify stage=total": 5,
        "requests_total face_analyze code=OK": 3,
        "faces_total face_analyze": 13,
        "stage_seconds_count face_analyze stage=queue": 3,
        "stage_seconds_count face_analyze stage=decode": 3,
        "stage_seconds_count face_analyze stage=detect": 3,
        "stage_seconds_count face_analyze stage=recognise": 1,
        "stage_seconds_count face_analyze stage=liveness": 1,
        "stage_seconds_count face_analyze stage=total": 3,
    }


def test_times_are_of_the_stages(counting, samples):
    pair = [encoded(f"IMAGE_{number}", samples["image_T1.jpg"]) for number in (1, 2)]
    before = scraped(counting)
    for _ in range(5):
        infer("grpc", counting.grpc, "face_verify", pair, anti_spoofing=True)
    growth(counting, before, 5)
    now = scraped(counting)
    spent = {
        stage: now[name] - before[name]
        for stage in ("queue", "decode", "detect", "recognise", "liveness", "total")
        for name in [f"stage_seconds_sum face_verify stage={stage}"]
    }
    assert spent["decode"] + spent["detect"] + max(spent["recognise"], spent["liveness"]) < spent["total"]
    assert all(seconds > 0 for seconds in spent.values())
    buckets = [name for name in now if name.startswith("stage_seconds_bucket face_verify") and "stage=total" in name]
    assert len(buckets) == 14


def test_the_watchers_own_requests_are_not_counted(counting):
    statistics = lambda: httpx.get(f"http://{counting.http}/v2/models/face_analyze/stats").json()["model_stats"][0]  # noqa: E731
    before, canaries = scraped(counting), int(statistics()["inference_count"])
    deadline = time.monotonic() + 30
    while int(statistics()["inference_count"]) < canaries + 5:  # what the first of them changed can be seen by then
        assert time.monotonic() < deadline, "the watcher does not ask"
        time.sleep(0.1)
    assert growth(counting, before, 0) == {}


def tritons_own(server: Server, name: str, model: str) -> float:
    text = httpx.get(f"http://{server.metrics}/metrics").text
    return sum(map(float, re.findall(rf'^{name}{{model="{model}".*}} (\S+)$', text, re.MULTILINE)))


def test_tritons_own_counters_take_refusals_for_successes_and_leave_its_own_refusals_out(counting):
    """Why docs/operation.md names other series."""
    success, failure = "nv_inference_request_success", "nv_inference_request_failure"
    no_images = [encoded(f"IMAGE_{number}", b"no image") for number in (1, 2)]
    before = scraped(counting)
    succeeded, failed = (tritons_own(counting, name, "face_verify") for name in (success, failure))
    for _ in range(10):
        infer("grpc", counting.grpc, "face_verify", no_images)
    assert growth(counting, before, 10)["requests_total face_verify code=INVALID_ARGUMENT"] == 10
    assert infer("grpc", counting.grpc, "face_verify", [("IMAGE_1", np.zeros(1, np.float32))]).message
    assert tritons_own(counting, success, "face_verify") >= succeeded + 10
    assert tritons_own(counting, failure, "face_verify") == failed


def full(now: dict[str, float]) -> bool:
    return (now["permits_in_use face_analyze"], now["requests_waiting face_analyze"]) == (1, 3)


def test_who_waits_and_who_is_turned_away(narrow_server, pictures):
    many = [encoded("IMAGE", pictures / "detection/bald_guys.jpg")]
    server = narrow_server
    with ThreadPoolExecutor(8) as pool:
        before = scraped(server)
        assert before["permits face_analyze"] == 1
        asked: list[str | None] = []
        stopping = threading.Event()

        def ask_on() -> None:
            while not stopping.is_set():
                asked.append(infer("grpc", server.grpc, "face_analyze", many, anti_spoofing=True).message)

        callers = [pool.submit(ask_on) for _ in range(8)]
        deadline = time.monotonic() + 60
        while not full(scraped(server)):
            assert time.monotonic() < deadline, "never seen full"
            time.sleep(0.05)
        stopping.set()
        for caller in callers:
            caller.result()
        away = sum(bool(message) and message.startswith("RESOURCE_EXHAUSTED") for message in asked)
        grown = growth(server, before, len(asked))
        assert grown["requests_total face_analyze code=RESOURCE_EXHAUSTED"] == away > 0
        assert grown["requests_total face_analyze code=OK"] == len(asked) - away > 0
        assert grown["stage_seconds_count face_analyze stage=total"] == len(asked)
        deadline = time.monotonic() + 5
        while scraped(server)["permits_in_use face_analyze"] or scraped(server)["requests_waiting face_analyze"]:
            assert time.monotonic() < deadline, "gauges that do not come down"
            time.sleep(0.1)
