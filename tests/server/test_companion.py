"""A program beside Triton: it is kept running, and stopped."""

from __future__ import annotations

import os
import sys
import time

import pytest

from server import companion
from server.companion import Companion
from server.errors import ServeError


def beside(program, said):
    return Companion("helper", [sys.executable, "-c", program], os.environ, said.append)


def until(true):
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_first_start_that_fails_is_an_error():
    helper = beside("raise SystemExit(3)", [])
    with pytest.raises(ServeError, match=r"the helper did not start \(exit status 3\)"):
        until(helper.look)


def test_one_that_is_killed_is_started_anew_and_ends_when_told(tmp_path):
    said, starts = [], tmp_path / "starts"
    helper = beside(f"import os, time; open({str(starts)!r}, 'a').write(f'{{os.getpid()}} '); time.sleep(60)", said)
    pids = lambda: starts.read_text().split() if starts.exists() else []  # noqa: E731
    until(lambda: helper.look() or pids())
    os.kill(int(pids()[0]), 9)
    until(lambda: helper.look() or len(pids()) == 2)
    assert said == ["the helper ended (exit status -9); starting it anew"]
    helper.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids()[1]), 0)


def test_one_that_does_not_end_when_told_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(companion, "STOP_SECONDS", 0.1)
    said, up = [], tmp_path / "up"
    program = f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(up)!r}, 'w'); time.sleep(60)"
    helper = beside(program, said)
    until(lambda: helper.look() or up.exists())
    helper.stop()
    assert said == ["the helper did not stop within 0.1 s; ending it"]
