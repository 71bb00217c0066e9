"""A client that answers by itself while its server is away: the same nets, the same answers, no request lost."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import psutil
import pytest

from facegate.cli.running import free_ports
from facegate_client import (
    AsyncFaceClient,
    BadImage,
    DeadlineExceeded,
    FaceClient,
    InvalidRequest,
    LivenessUnavailable,
    NoFace,
)
from support.serving import serving


@pytest.fixture(scope="module")
def nobody():
    """An address that refuses."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(scope="module")
def alone(nobody, repository):
    """A client without a server."""
    with FaceClient(nobody, timeout_s=30, fallback="local", local_repository=repository) as client:
        yield client


@dataclass
class Load:
    """Four threads and four tasks that verify two pictures and analyse the first, again and again.

    Where they are to be `quiet`, one of each goes on, with pauses: a server that starts needs some of the machine.
    """

    server: object
    pair: tuple[bytes, bytes]
    repository: object
    results: list = field(default_factory=list)  # (client, verification, faces)
    errors: list = field(default_factory=list)
    quiet: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self):
        options = {"timeout_s": 30, "fallback": "local", "local_repository": self.repository}
        self.client = FaceClient(self.server.grpc, **options)
        self.addresses = {"threads": self.server.grpc, "tasks": self.server.grpc.replace("127.0.0.1", "localhost")}
        self.threads = [threading.Thread(target=self._call, args=(number,)) for number in range(4)]
        self.threads.append(threading.Thread(target=lambda: asyncio.run(self._call_by_tasks(options))))
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        self.client.close()

    def _call(self, number):
        while not self.stop.is_set():
            if self.quiet:
                time.sleep(0.2)
                if number > 0:
                    continue
            try:
                verdict = self.client.verify(*self.pair, anti_spoofing=True)
                self.results.append(("threads", verdict, self.client.analyze(self.pair[0], anti_spoofing=True)))
            except Exception as error:
                self.errors.append(error)

    async def _call_by_tasks(self, options):
        async def call(client, number):
            while not self.stop.is_set():
                if self.quiet:
                    await asyncio.sleep(0.2)
                    if number > 0:
                        continue
                try:
                    verdict = await client.verify(*self.pair, anti_spoofing=True)
                    self.results.append(("tasks", verdict, await client.analyze(self.pair[0], anti_spoofing=True)))
                except Exception as error:
                    self.errors.append(error)

        async with AsyncFaceClient(self.addresses["tasks"], **options) as client:
            await asyncio.gather(*(call(client, number) for number in range(4)))

    def see(self, local, count=4):
        """Wait until both clients have had `count` more answers, of this process or of the server."""

        def counted():
            return Counter(client for client, verdict, _ in self.results if verdict.model.local == local)

        before, deadline = counted(), time.monotonic() + 60
        while min(counted()[client] - before[client] for client in ("threads", "tasks")) < count:
            assert time.monotonic() < deadline, (counted(), self.errors)
            time.sleep(0.05)


def test_no_request_is_lost_while_the_server_is_away(repository, samples, tmp_path, monkeypatch, caplog):
    """It is killed, and another one after it is told to stop; each time one comes back."""
    ports = free_ports(3)
    monkeypatch.setattr("support.serving.free_ports", lambda count: ports)  # the same for all servers
    monkeypatch.setattr("facegate_client.breaker.LONGEST_COOL_DOWN_S", 0.3)  # that it is back is soon seen
    pair = samples["image_T1.jpg"].read_bytes(), samples["image_F1.jpg"].read_bytes()
    with ExitStack() as servers:
        server = servers.enter_context(serving(tmp_path / "first"))
        with FaceClient(server.grpc, timeout_s=30) as plain:
            expected = plain.verify(*pair, anti_spoofing=True), plain.analyze(pair[0], anti_spoofing=True)
        with Load(server, pair, repository) as load:
            load.see(local=False)
            for how in (signal.SIGKILL, signal.SIGTERM):
                family = psutil.Process(server.process.pid).children(recursive=True)
                server.process.send_signal(how)
                load.see(local=True)
                server.process.wait(60)
                assert not psutil.wait_procs(family, timeout=60)[1]
                load.see(local=True)
                load.quiet = True
                server = servers.enter_context(serving(tmp_path / f"after {how.name}"))
                load.quiet = False
                load.see(local=False)
            load.stop.set()
            for thread in load.threads:
                thread.join()
    assert load.errors == []
    for _, verdict, faces in load.results:
        same_verdict(verdict, expected[0])
        same_faces(faces, expected[1])
    for address in load.addresses.values():
        away, back = f"this process answers in place of {address}: ", f"{address} answers again"
        assert [line[: len(away)] for line in caplog.messages if line.startswith((away, back))] == [away, back] * 2


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tasks_are_answered_as_threads_are(server, samples, protocol):
    pair = samples["image_T1.jpg"], samples["image_F1.jpg"]

    async def ask():
        async with AsyncFaceClient(server.address(protocol), protocol=protocol, timeout_s=60) as client:
            assert await client.is_ready()
            asking = (client.verify(*pair, anti_spoofing=True) for _ in range(20))
            return await asyncio.gather(*asking), await client.analyze(pair[0], anti_spoofing=True)

    with FaceClient(server.address(protocol), protocol=protocol, timeout_s=60) as client:
        verdicts, faces = asyncio.run(ask())
        expected = client.verify(*pair, anti_spoofing=True)
        for verdict in verdicts:
            same_verdict(verdict, expected)
        same_faces(faces, client.analyze(pair[0], anti_spoofing=True))


def same_verdict(verdict, expected):
    assert (verdict.verified, verdict.is_real_1, verdict.is_real_2) == (False, True, False)
    assert verdict.verified == expected.verified
    assert abs(verdict.distance - expected.distance) <= 1e-4
    assert abs(verdict.antispoof_score_1 - expected.antispoof_score_1) <= 1e-3
    assert abs(verdict.antispoof_score_2 - expected.antispoof_score_2) <= 1e-3
    assert verdict.model.digest == expected.model.digest != ""


def same_faces(faces, expected):
    assert [face.is_real for face in faces] == [face.is_real for face in expected]
    for face, other in zip(faces, expected, strict=True):
        assert np.allclose(face.embedding, other.embedding, atol=1e-4)
        assert abs(face.antispoof_score - other.antispoof_score) <= 1e-3


def test_what_the_server_would_refuse_is_refused_the_same(alone, samples):
    black = np.zeros((64, 64, 3), np.uint8)
    picture = samples["image_T1.jpg"]
    with pytest.raises(NoFace) as caught:
        alone.verify(picture, black)
    assert (str(caught.value), caught.value.image) == ("no face in image 2", 2)
    with pytest.raises(BadImage, match="IMAGE_1"):
        alone.verify(b"no image", picture)
    with pytest.raises(InvalidRequest, match="threshold"):
        alone.verify(picture, picture, threshold=3)


def test_a_given_face_without_an_embedding_says_why(alone, samples):
    picture = samples["image_T1.jpg"]
    found = alone.analyze(picture, anti_spoofing=True)
    known = np.array([[*found[0].box, *np.ravel(found[0].landmarks)]] * 2, np.float32)
    known[1, 4:] = known[1, :2].mean()  # all landmarks in one place
    known[1, 4::2], known[1, 5::2] = known[1, [0, 2]].mean(), known[1, [1, 3]].mean()
    fine, flat = alone.analyze(picture, faces=known, anti_spoofing=True)
    assert fine.error is None
    assert fine.embedding is not None
    assert flat.embedding is None
    assert flat.error.startswith("INVALID_ARGUMENT: ")
    assert flat.is_real == found[0].is_real


def test_a_call_of_the_local_nets_ends_at_its_deadline(nobody, repository, pictures):
    with FaceClient(nobody, timeout_s=0.02, fallback="local", local_repository=repository) as client:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="this process's own nets"):
            client.analyze(pictures / "detection" / "bald_guys.jpg", anti_spoofing=True)
        assert time.monotonic() - began < 5


def test_liveness_that_cannot_be_checked_here_is_an_error_here_too(nobody, repository, samples, tmp_path):
    plain = shutil.copytree(repository, tmp_path / "plain", ignore=shutil.ignore_patterns("minifasnet*"))
    with FaceClient(nobody, timeout_s=30, fallback="local", local_repository=plain) as client:
        assert client.analyze(samples["image_T1.jpg"])[0].is_real is None
        with pytest.raises(LivenessUnavailable):
            client.analyze(samples["image_T1.jpg"], anti_spoofing=True)


def test_the_fallback_keeps_the_rules_of_its_environment(nobody, repository, samples, monkeypatch):
    photo = samples["image_T1.jpg"]
    monkeypatch.setenv("FACEGATE_REQUIRE_LIVENESS", "true")
    monkeypatch.setenv("FACEGATE_MAX_THRESHOLD", "0.8")
    with FaceClient(nobody, timeout_s=30, fallback="local", local_repository=repository) as client:
        assert client.verify(photo, photo, anti_spoofing=True, threshold=0.8).is_real_1 is True
        with pytest.raises(InvalidRequest, match="anti_spoofing"):
            client.verify(photo, photo)
        with pytest.raises(InvalidRequest, match="threshold"):
            client.verify(photo, photo, anti_spoofing=True, threshold=0.81)
    monkeypatch.setenv("FACEGATE_REQUIRE_LIVENESS", "ture")
    with pytest.raises(ValueError, match="require_liveness"):
        FaceClient(nobody, fallback="local", local_repository=repository)


@pytest.mark.parametrize("missing", ["face_recognizer", "face_detector/1", "face_detector_256x256"])
def test_missing_nets_are_told_before_an_outage(repository, tmp_path, missing):
    broken = shutil.copytree(repository, tmp_path / "broken")
    shutil.rmtree(broken / missing)
    with pytest.raises(ValueError, match=f"cannot be opened: .*{missing}") as caught:
        FaceClient(fallback="local", local_repository=broken)
    assert "\n" not in str(caught.value)


def test_the_command_says_on_stderr_that_no_server_answered(nobody, repository, samples):
    """The nets are those of the default pack, which the repository's fixture has built."""
    command = [sys.executable, "-m", "facegate_client", "verify", "--local", "--anti-spoofing", "--json"]
    command += ["--url", nobody, "--timeout", "60", str(samples["image_T1.jpg"]), str(samples["image_T1.jpg"])]
    environment = {name: value for name, value in os.environ.items() if name != "FACEGATE_LOCAL_REPOSITORY"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.startswith(f"faceclient: this process answers in place of {nobody}: ")
    assert ran.stderr.count("\n") == 1
    said = json.loads(ran.stdout)
    assert (said["verified"], said["is_real_1"], said["model"]["local"]) == (True, True, True)
