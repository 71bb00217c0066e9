"""Processes killed under load: service comes back by itself and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from support.serving import serving, serving_repository, wait_for_line
from support.wire import encoded, infer


def regions() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("*facegate-*")}


def processes(server, name):
    found = psutil.Process(server.process.pid).children(recursive=True)
    return [process for process in found if name in process.name()]


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


@pytest.mark.parametrize("victim", ["triton_python_backend_stub", "tritonserver"])
def test_service_comes_back_after_a_kill_under_load(repository, samples, tmp_path, victim):
    leftovers = regions()
    with serving(tmp_path / "log") as server, Load(server, samples) as load:
        load.wait_for_verdicts(5)
        held = len(regions())
        processes(server, victim)[0].kill()
        wait_for_line(server.process, server.log, "facegate: ready:", count=2)
        load.wait_for_verdicts(5)
        assert len(regions()) == held
        assert "starting Triton anew" in server.log.read_text()
        assert load.wrong == 0
    assert regions() == leftovers


def test_it_comes_back_with_the_nets_it_was_started_with(repository, samples, tmp_path):
    """Whatever has become of the repository meanwhile: another pack of that name would judge by another threshold."""
    shutil.copytree(repository, tmp_path / "repository")
    with serving_repository(tmp_path / "log", tmp_path / "repository") as server, Load(server, samples) as load:
        shutil.rmtree(tmp_path / "repository")
        processes(server, "tritonserver")[0].kill()
        wait_for_line(server.process, server.log, "facegate: ready:", count=2)
        load.wait_for_verdicts(2)


def test_every_model_is_watched(repository, tmp_path):
    """A dead process behind a net that the ensemble does not even ask is noticed too."""
    with serving(tmp_path / "log") as server:
        stubs = processes(server, "triton_python_backend_stub")
        assert len(stubs) == 6
        next(stub for stub in stubs if "minifasnet_v2" in " ".join(stub.cmdline())).kill()
        wait_for_line(server.process, server.log, "facegate: ready:", count=2)


@pytest.mark.parametrize(("inferer", "hung"), [("onnxruntime", "face_verify"), ("bls", "minifasnet_v1se")])
def test_a_hung_process_is_noticed(repository, tmp_path, inferer, hung):
    with serving(tmp_path / "log", "--inferer", inferer) as server:
        for stub in processes(server, "triton_python_backend_stub"):
            if hung in " ".join(stub.cmdline()):
                stub.suspend()
        wait_for_line(server.process, server.log, "facegate: ready:", count=2)


@pytest.mark.parametrize("inferer", ["onnxruntime", "bls"])
def test_what_is_in_flight_is_answered_before_it_stops(repository, pictures, tmp_path, inferer):
    answers = []
    request = [encoded("IMAGE", pictures / "detection/bald_guys.jpg")]

    def call(address):
        answers.append(infer("grpc", address, "face_analyze", request, anti_spoofing=True))

    with serving(tmp_path / "log", "--inferer", inferer) as server:
        callers = [threading.Thread(target=call, args=(server.grpc,)) for _ in range(6)]
        for caller in callers:
            caller.start()
        while not answers:  # the others are there by then
            time.sleep(0.005)
        server.process.send_signal(signal.SIGTERM)
        for caller in callers:
            caller.join()
        assert server.process.wait(60) == 0
    late = [answer for answer in answers if answer.message]
    assert all(answer.message.startswith("RESOURCE_EXHAUSTED: the server is stopping") for answer in late)
    assert [len(answer.outputs["BOXES"]) for answer in answers if not answer.message] == [24] * (6 - len(late))
    assert len(late) <= 2  # four had a permit when the first was answered


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_no_process_outlives_a_watcher_that_is_killed_under_load(repository, samples, tmp_path, transport):
    with serving(tmp_path / "log") as server, Load(server, samples, transport) as load:
        load.wait_for_verdicts(5)
        orphans = psutil.Process(server.process.pid).children(recursive=True)
        os.kill(server.process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(orphans, timeout=40)
        assert not alive


def test_an_open_http_connection_does_not_hold_it(repository, tmp_path):
    with serving(tmp_path / "log") as server, httpx.Client(base_url=f"http://{server.http}") as client:
        assert client.get("/v2/health/live").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0  # seconds; Triton's own patience would be 30


def test_a_watcher_that_is_killed_takes_triton_with_it_and_the_next_one_cleans_up(repository, tmp_path):
    leftovers = regions()
    with serving(tmp_path / "first") as first:
        orphans = psutil.Process(first.process.pid).children(recursive=True)
        os.kill(first.process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(orphans, timeout=60)
        assert not alive
    with serving(tmp_path / "second"):
        pass
    assert regions() == leftovers
