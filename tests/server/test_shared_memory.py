"""Regions in /dev/shm: which leftovers are removed, and what callers get when there is no room for another."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from facegate.running import free_ports
from facegate_client import FaceClient, Overloaded
from facegate_client.service import FaceServiceClient
from server import shared_memory
from support.gateway import gateway
from support.missing import cannot_be_had
from support.serving import running


@pytest.fixture
def regions(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_memory, "REGIONS", tmp_path)
    return tmp_path


def gone_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_only_what_a_dead_watcher_of_this_namespace_left_is_removed(regions):
    here = os.stat("/proc/self/ns/pid").st_ino
    leftover = regions / f"{shared_memory.START}{here}-{gone_process()}-region"
    others = [
        regions / f"{shared_memory.START}{here}-{os.getppid()}-region",  # its watcher lives
        regions / f"{shared_memory.START}{here + 1}-{gone_process()}-region",  # another container's
        regions / f"{shared_memory.START}{here}-1000000000000-region",  # no process number
        regions / f"{shared_memory.START}nonsense",
        regions / "somebody-elses",
    ]
    for path in (leftover, *others):
        path.touch()
    shared_memory.remove_leftovers()
    assert sorted(regions.iterdir()) == sorted(others)


def test_own_regions_are_closed_to_others_and_removed(regions):
    own, other = regions / f"{shared_memory.prefix()}x", regions / f"{shared_memory.START}1-2-x"
    for path in (own, other):
        path.touch(mode=0o644)
    shared_memory.make_private()
    assert (own.stat().st_mode & 0o777, other.stat().st_mode & 0o777) == (0o600, 0o644)
    shared_memory.remove_own()
    assert list(regions.iterdir()) == [other]


@pytest.fixture(scope="module", params=["onnxruntime", "bls"])
def cramped(request, repository, tmp_path_factory):
    """A server with a /dev/shm of its own, which has room for its processes and little else."""
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*alone, "true"]).returncode != 0:
        cannot_be_had(request.config, "a full /dev/shm is not tested: unshare (1) may not make a mount namespace here")
    mounted = 'mount -t tmpfs -o size=110m facegate /dev/shm && exec "$@"'
    ports = free_ports(3)
    command = [*alone, "sh", "-c", mounted, "sh", sys.executable, "-m", "facegate", "serve"]
    command += ["--inferer", request.param]
    for name, port in zip(("grpc", "http", "metrics"), ports, strict=True):
        command += [f"--{name}-port", str(port)]
    with running(tmp_path_factory.mktemp("cramped") / "log", command, ports) as server:
        yield server


LARGE = np.zeros((3000, 3000, 3), np.uint8)
"""27 MB, which the gateway takes; more than the 16 MB that a process begins with."""


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_full_dev_shm_is_overload_to_the_clients(cramped, samples, protocol):
    with FaceClient(cramped.address(protocol), protocol=protocol) as client:
        with pytest.raises(Overloaded) as refused:
            client.analyze(LARGE)
        assert "region" not in str(refused.value)
        assert len(client.analyze(samples["image_T1.jpg"])) == 1


def test_a_full_dev_shm_is_overload_to_the_gateways_callers(cramped, tmp_path):
    with (
        gateway(tmp_path / "log", cramped.grpc) as beside,
        FaceServiceClient(beside.grpc) as client,
        pytest.raises(Overloaded) as refused,
    ):
        client.analyze(LARGE)
    assert "region" not in str(refused.value)
