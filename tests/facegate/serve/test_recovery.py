"""Processes killed under load: service comes back by itself and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from support.impatient import serving_impatiently
from support.serving import MODELS, serving, wait_for_line
from support.wire import encoded, infer


@pytest.fixture(scope="module")
def restless(repository, tmp_path_factory):
    """A server to kill processes of, and to stop in the end. It has to come back without the repository it was started
    on: whatever becomes of that meanwhile, another pack of that name would judge by another threshold."""
    folder = tmp_path_factory.mktemp("restless")
    shutil.copytree(repository, folder / "repository")
    with serving_impatiently(folder / "log", folder / "repository", "onnxruntime") as running:
        shutil.rmtree(folder / "repository")
        yield running


@pytest.fixture(scope="module")
def restless_bls(repository, tmp_path_factory):
    with serving_impatiently(tmp_path_factory.mktemp("restless_bls") / "log", repository, "bls") as running:
        yield running


def regions(server) -> set[str]:
    """Its shared memory: others may run on this machine."""
    return {path.name for path in Path("/dev/shm").glob(f"*facegate-*-{server.process.pid}-*")}


def processes(server, name):
    found = psutil.Process(server.process.pid).children(recursive=True)
    return [process for process in found if name in process.name()]


@contextmanager
def coming_back(server, reason: str) -> Iterator[None]:
    """What happens in the block is noticed, for this reason, and the server is ready anew after it."""
    before = server.log.read_text()
    yield
    wait_for_line(server.process, server.log, "facegate: ready:", count=before.count("facegate: ready:") + 1)
    (said,) = [line for line in server.log.read_text()[len(before) :].splitlines() if "starting Triton anew" in line]
    assert reason in said


class Load:
    """Four callers that verify a face with itself without a pause; `wrong` counts verdicts that it is another."""

    def __init__(self, server, samples, transport="grpc"):
        self._transport = transport
        self.verdicts, self.wrong = 0, 0
        self._request = [encoded(f"IMAGE_{i}", samples["image_T1.jpg"]) for i in (1, 2)]
        self._server, self._stopping = server, threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(4)]

    def _call(self):
        while not self._stopping.is_set():
            try:
                address = self._server.address(self._transport)
                answer = infer(self._transport, address, "face_verify", self._request, anti_spoofing=True)
            except Exception:  # nobody listens, or no longer; the HTTP client has many ways to say so
                answer = None
            if answer is None or answer.message:
                time.sleep(0.05)
            else:
                self.verdicts += 1
                self.wrong += not answer.outputs["VERIFIED"][0]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_for_verdicts(self, count):
        before, deadline = self.verdicts, time.monotonic() + 60
        while self.verdicts < before + count:
            assert time.monotonic() < deadline, "no verdicts"
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("victim", "reason"),
    [("triton_python_backend_stub", "behind a model is gone"), ("tritonserver", "Triton ended (exit status -9)")],
)
def test_service_comes_back_after_a_kill_under_load(restless, samples, victim, reason):
    with Load(restless, samples) as load:
        load.wait_for_verdicts(5)
        held = len(regions(restless))
        with coming_back(restless, reason):
            processes(restless, victim)[0].kill()
        load.wait_for_verdicts(5)
        assert len(regions(restless)) == held == MODELS
        assert load.wrong == 0


def test_every_model_is_watched(restless):
    """A dead process behind a net that the ensemble does not even ask is noticed too."""
    stubs = processes(restless, "triton_python_backend_stub")
    assert len(stubs) == MODELS
    net = next(stub for stub in stubs if "minifasnet_v2" in " ".join(stub.cmdline()))
    with coming_back(restless, f"process {net.pid} behind a model is gone"):
        net.kill()


@pytest.mark.parametrize(
    ("named", "hung", "silent"),
    [("restless", "face_verify", "face_verify"), ("restless_bls", "minifasnet_v1se", "face_analyze")],
)
def test_a_hung_process_is_noticed(request, named, hung, silent):
    """By the model that is asked and does not answer as it should."""
    server = request.getfixturevalue(named)
    with coming_back(server, silent):
        for stub in processes(server, "triton_python_backend_stub"):
            if hung in " ".join(stub.cmdline()):
                stub.suspend()


@pytest.mark.parametrize(("named", "connected"), [("restless", True), ("restless_bls", False)])
def test_what_is_in_flight_is_answered_before_it_stops(request, pictures, named, connected):
    """The last of these servers. An HTTP connection that somebody keeps open does not hold it."""
    server = request.getfixturevalue(named)
    answers = []
    request = [encoded("IMAGE", pictures / "detection/bald_guys.jpg")]

    def call(address):
        answers.append(infer("grpc", address, "face_analyze", request, anti_spoofing=True))

    with httpx.Client(base_url=f"http://{server.http}") as client:
        if connected:
            assert client.get("/v2/health/live").status_code == 200
        callers = [threading.Thread(target=call, args=(server.grpc,)) for _ in range(6)]
        for caller in callers:
            caller.start()
        while not answers and any(caller.is_alive() for caller in callers):  # the others are there by then
            time.sleep(0.005)
        server.process.send_signal(signal.SIGTERM)
        for caller in callers:
            caller.join()
        assert server.process.wait(25) == 0  # seconds; Triton's own patience with the connection would be 30
    late = [answer for answer in answers if answer.message]
    assert all(answer.message.startswith("RESOURCE_EXHAUSTED: the server is stopping") for answer in late)
    assert [len(answer.outputs["BOXES"]) for answer in answers if not answer.message] == [24] * (6 - len(late))
    assert len(late) <= 3  # four had a permit when the first was answered, one of them perhaps the watcher's request
    assert not regions(server)


def test_a_server_that_stops_never_answers_that_something_is_not_found(repository, samples, tmp_path):
    """Triton unloads its models and answers NOT_FOUND for them, which a client could read as "no face"."""
    pair = [encoded(f"IMAGE_{number}", samples["image_T1.jpg"]) for number in (1, 2)]
    answers = {"grpc": [], "http": []}
    with serving(tmp_path / "log") as server:

        def call(transport):
            for _ in range(3000):
                try:
                    answer = infer(transport, server.address(transport), "face_verify", pair)
                except Exception:  # over HTTP: nobody listens any more
                    return
                answers[transport].append(answer)
                if answer.message and not answer.message.startswith("RESOURCE_EXHAUSTED: "):
                    return

        callers = [threading.Thread(target=call, args=(transport,)) for transport in answers]
        for caller in callers:
            caller.start()
        while min(map(len, answers.values())) < 3 and all(caller.is_alive() for caller in callers):
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        for caller in callers:
            caller.join()
        assert server.process.wait(25) == 0
    for transport, found in answers.items():
        refusals = [answer for answer in found if answer.message]
        assert len(refusals) < len(found)
        statuses = {answer.status for answer in refusals}
        assert statuses <= {"StatusCode.UNAVAILABLE", "StatusCode.CANCELLED", "503"}, (transport, statuses)


def test_a_watcher_that_is_killed_under_load_takes_triton_with_it(repository, samples, tmp_path):
    with serving(tmp_path / "log") as server, Load(server, samples) as load, Load(server, samples, "http") as http_load:
        load.wait_for_verdicts(3)
        http_load.wait_for_verdicts(3)
        orphans = psutil.Process(server.process.pid).children(recursive=True)
        os.kill(server.process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(orphans, timeout=40)
        for process in alive:
            process.kill()
        assert not alive
    assert not regions(server)


def test_what_is_left_when_all_its_processes_are_killed_the_next_one_removes(repository, tmp_path):
    with serving(tmp_path / "log") as server:
        family = psutil.Process(server.process.pid).children(recursive=True)
        for process in [server.process, *family]:
            process.kill()
        psutil.wait_procs(family, timeout=30)
        server.process.wait()
    assert len(regions(server)) == MODELS
    with serving(tmp_path / "next") as another:
        assert not regions(server)
    assert another.process.wait(60) == 0
