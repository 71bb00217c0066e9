"""The load generator against a fake server: what it sends, what it counts, and from when it measures."""

from __future__ import annotations

import threading
import time

import grpc
import numpy as np
import pytest

from benchmarks.bench import arrivals, load
from benchmarks.bench.pictures import Picture
from facegate_client import FaceClient
from support.fake_triton import Refusal, analyze_answer, serve, verify_answer

JPEG = Picture("a JPEG", b"\xff\xd8not looked at", 480, 640, 1, encoded=True)
FRAME = Picture("a frame", bytes(range(12)), 2, 2, 1, encoded=False)
LIVE = (True, 0.9, True, 0.9)


def test_requests_are_what_the_client_sends():
    with serve(
        "grpc",
        lambda call: verify_answer(liveness=LIVE) if "verify" in call.model else analyze_answer(1, liveness=True),
    ) as fake:
        load.closed(fake.url, load.verify(JPEG, FRAME, liveness=True), 1, seconds=0.01, warm_up=0)
        load.closed(fake.url, load.analyze(FRAME, liveness=True), 1, seconds=0.01, warm_up=0)
        frame = np.frombuffer(FRAME.data, np.uint8).reshape(2, 2, 3)
        with FaceClient(fake.url) as client:
            client.verify(JPEG.data, frame, anti_spoofing=True)
            client.analyze(frame, anti_spoofing=True)
    *sent, by_client_1, by_client_2 = fake.calls
    assert by_client_1 in sent and by_client_2 in sent
    assert all(call in (by_client_1, by_client_2) for call in sent)


def test_a_closed_loop_has_so_many_callers():
    most, now, lock = 0, 0, threading.Lock()

    def answer(call):
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return verify_answer(liveness=LIVE)

    with serve("grpc", answer) as fake:
        result = load.closed(fake.url, load.verify(JPEG, JPEG, liveness=True), 3, seconds=0.3, warm_up=0.1)
    assert most == 3
    assert result.errors == {}
    assert 0 < result.answered < result.sent == len(fake.calls)
    assert 20 <= result.p50_ms <= result.p90_ms <= result.p95_ms <= result.p99_ms
    assert 0 < result.throughput <= 3 / 0.02


@pytest.mark.parametrize(
    ("answer", "work"),
    [
        (verify_answer(), load.verify(JPEG, JPEG, liveness=True)),
        (verify_answer(liveness=LIVE, VERIFIED=None),
         load.verify(JPEG, JPEG, liveness=True)),
        (verify_answer(liveness=LIVE, VERIFIED=np.array([False])),
         load.verify(JPEG, JPEG, liveness=True)),
        (verify_answer(liveness=(True, 0.9, False, 0.1)), load.verify(JPEG, JPEG, liveness=True)),
        (analyze_answer(1, liveness=True, IS_REAL=np.array([False])), load.analyze(JPEG, liveness=True)),
        (analyze_answer(2, liveness=True), load.analyze(JPEG, liveness=True)),
        (analyze_answer(1), load.analyze(JPEG, liveness=True)),
    ],
    ids=["no liveness", "no verdict", "not verified", "a fake", "a fake face", "too many faces", "no liveness of any"],
)  # fmt: skip
def test_a_wrong_answer_is_an_error(answer, work):
    with serve("grpc", lambda call: answer) as fake:
        result = load.closed(fake.url, work, 1, seconds=0.05, warm_up=0)
    assert (result.answered, result.throughput, result.p99_ms) == (0, 0, None)
    assert list(result.errors) == [load.WRONG]


def test_of_a_crowd_only_the_number_of_faces_is_known():
    crowd = Picture("a crowd", JPEG.data, 480, 640, 2, encoded=True)
    with serve("grpc", lambda call: analyze_answer(2, liveness=True)) as fake:  # the second face is fake
        result = load.closed(fake.url, load.analyze(crowd, liveness=True), 1, seconds=0.05, warm_up=0)
    assert result.errors == {} and result.answered


def test_after_an_error_a_caller_waits():
    def answer(call):
        raise Refusal(grpc.StatusCode.UNAVAILABLE, 503, "RESOURCE_EXHAUSTED: no permit")

    with serve("grpc", answer) as fake:
        result = load.closed(fake.url, load.verify(JPEG, JPEG, liveness=True), 1, seconds=0.2, warm_up=0)
    assert list(result.errors) == ["RESOURCE_EXHAUSTED"]
    assert result.sent <= 1 + 0.2 / load.BACK_OFF_SECONDS


def test_the_last_requests_find_a_busy_server():
    """One caller's request takes long: the others go on until it is answered."""
    lock, calls = threading.Lock(), []

    def answer(call):
        with lock:
            calls.append(call)
            late = len(calls) == 1
        time.sleep(0.5 if late else 0.02)
        return verify_answer(liveness=LIVE)

    with serve("grpc", answer) as fake:
        result = load.closed(fake.url, load.verify(JPEG, JPEG, liveness=True), 2, seconds=0.1, warm_up=0)
    assert result.sent > result.answered + 5


def test_an_overloaded_server_answers_no_more_than_it_can():
    """Half as much again as it can is asked of a server that takes 20 ms for each request, one at a time."""
    lock = threading.Lock()

    def answer(call):
        with lock:
            time.sleep(0.02)
        return verify_answer(liveness=LIVE)

    with serve("grpc", answer) as fake:
        due = arrivals.constant(75, 1.2)
        result = load.opened(fake.url, load.verify(JPEG, JPEG, liveness=True), due, seconds=1.0, warm_up=0.2)
    assert result.errors == {}
    assert 0 < result.throughput <= 50 + 1  # one more that ends in the measured time


def test_errors_are_counted_by_their_code():
    refusals = [
        (grpc.StatusCode.UNAVAILABLE, "RESOURCE_EXHAUSTED: no permit"),
        (grpc.StatusCode.NOT_FOUND, "NOT_FOUND: no face in image 1"),
        (grpc.StatusCode.UNAVAILABLE, "the server is away"),
    ]

    def answer(call):
        if left:
            code, message = left.pop()
            raise Refusal(code, 500, message)
        return verify_answer(liveness=LIVE)

    left = list(refusals)
    with serve("grpc", answer) as fake:
        due = arrivals.constant(50, 0.2)
        result = load.opened(fake.url, load.verify(JPEG, JPEG, liveness=True), due, seconds=0.2, warm_up=0)
    assert result.errors == {"RESOURCE_EXHAUSTED": 1, "NOT_FOUND": 1, "UNAVAILABLE": 1}
    assert result.answered == len(due) - 3


def test_in_an_open_loop_times_run_from_when_requests_were_due():
    """A server that stands still for its first 0.5 s: who was due then has waited for all of that."""
    first, lock = [], threading.Lock()

    def answer(call):
        with lock:
            if not first:
                first.append(call)
                time.sleep(0.5)
        return verify_answer(liveness=LIVE)

    with serve("grpc", answer) as fake:
        due = arrivals.constant(100, 0.3)
        result = load.opened(fake.url, load.verify(JPEG, JPEG, liveness=True), due, seconds=0.2, warm_up=0.1)
    assert result.sent == len(due) == 30
    assert result.answered == 20  # those of the warm-up do not count
    assert result.errors == {}
    assert result.p50_ms >= 300  # the last of them was due at 0.29 s


def test_arrivals_have_their_rate():
    assert len(arrivals.constant(40, 2.5)) == 100
    assert len(arrivals.poisson(1000, 10, seed=1)) == pytest.approx(10_000, rel=0.03)
    assert arrivals.poisson(10, 5, seed=1) != arrivals.poisson(10, 5, seed=2)
    frames = arrivals.cameras(3, 10, 2, seed=1)
    assert frames == sorted(frames) and len(frames) == 60 and len(set(frames)) == 60
