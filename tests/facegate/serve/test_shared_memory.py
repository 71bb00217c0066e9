"""Triton's regions in /dev/shm: leftovers are removed, and a full one is an overload."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from facegate.serve import shared_memory
from facegate_client import FaceClient, Overloaded
from facegate_client.service import FaceServiceClient
from support.grpc_gateway import grpc_gateway
from support.serving import serving


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


IN_LITTLE_MEMORY = """
import ctypes, subprocess
assert ctypes.CDLL(None).unshare(0x20000) == 0, "no mount namespace"  # CLONE_NEWNS
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=115m", "none", "/dev/shm"], check=True)
from facegate.cli.app import app
app()
"""
"""`facegate` with a /dev/shm of its own, which a picture of 27 MB fills."""


@pytest.fixture(scope="module", params=["in-process", "BLS"])
def crowded(request, repository, tmp_path_factory):
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("a mount namespace cannot be made here")
    options = ("--inferer", "bls") if request.param == "BLS" else ()
    log = tmp_path_factory.mktemp("crowded") / "log"
    with serving(log, *options, program=("-c", IN_LITTLE_MEMORY)) as running:
        yield running


def test_a_full_dev_shm_is_an_overload_and_the_next_request_is_answered(crowded, samples):
    large = np.zeros((3000, 3000, 3), np.uint8)
    for protocol, address in (("grpc", crowded.grpc), ("http", crowded.http)):
        with FaceClient(address, protocol=protocol) as client:
            with pytest.raises(Overloaded) as refusal:
                client.analyze(large)
            assert "region" not in str(refusal.value)
            assert len(client.analyze(samples["image_T1.jpg"], anti_spoofing=True)) == 1
    with grpc_gateway(crowded.grpc) as gateway, FaceServiceClient(gateway.address) as service:
        with pytest.raises(Overloaded) as refusal:
            service.analyze(large)
        assert "region" not in str(refusal.value)
        assert service.verify(samples["image_T1.jpg"], samples["image_T1.jpg"])
    assert crowded.log.read_text().count("facegate: ready:") == 1
