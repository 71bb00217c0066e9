"""Leftovers in /dev/shm: what is removed, and what is somebody else's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from server import shared_memory


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
