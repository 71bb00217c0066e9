"""A program beside Triton: it is kept running, replaced when it hangs, and stopped."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from facegate.cli.running import free_ports
from facegate.errors import ServeError
from facegate.serve import companion
from facegate.serve.companion import Companion

PROBE_SECONDS = 0.2

ANSWERING = """
import os, socket, sys, time
open(sys.argv[2], "a").write(f"{os.getpid()} ")
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = listening.accept()
    with connection:
        connection.recv(99)
        ANSWER
"""
"""Appends its process id to a file, and answers connections, each in its turn."""


def beside(program, said, *arguments, port=9):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return Companion("helper", command, os.environ, said.append, ("127.0.0.1", port))


@pytest.fixture
def probed_often(monkeypatch):
    monkeypatch.setattr(companion, "PROBE_SECONDS", PROBE_SECONDS)


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


@pytest.mark.usefixtures("probed_often")
def test_one_that_hangs_is_replaced(tmp_path):
    said, starts, (port,) = [], tmp_path / "starts", free_ports(1)
    answer = 'connection.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n"); open(sys.argv[2] + "-answered", "w")'
    helper = beside(ANSWERING.replace("ANSWER", answer), said, port, starts, port=port)
    pids = lambda: starts.read_text().split() if starts.exists() else []  # noqa: E731
    until(lambda: helper.look() or (tmp_path / "starts-answered").exists())
    os.kill(int(pids()[0]), signal.SIGSTOP)
    until(lambda: helper.look() or len(pids()) == 2)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids()[0]), 0)
    assert len(said) == 1
    helper.stop()


@pytest.mark.usefixtures("probed_often")
def test_one_that_answers_slowly_is_left_alone(tmp_path):
    said, starts, (port,) = [], tmp_path / "starts", free_ports(1)
    answer = f'time.sleep({0.8 * PROBE_SECONDS}); connection.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")'
    helper = beside(ANSWERING.replace("ANSWER", answer), said, port, starts, port=port)
    end = time.monotonic() + 10 * PROBE_SECONDS
    until(lambda: helper.look() or time.monotonic() > end)
    assert (said, len(starts.read_text().split())) == ([], 1)
    helper.stop()


@pytest.mark.usefixtures("probed_often")
def test_one_that_takes_long_to_start_is_left_alone_until_its_time_is_up(tmp_path, monkeypatch):
    said, starts = [], tmp_path / "starts"
    program = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()} '); time.sleep(60)"
    helper = beside(program, said, starts, port=free_ports(1)[0])
    end = time.monotonic() + 10 * PROBE_SECONDS
    until(lambda: helper.look() or time.monotonic() > end)
    assert (said, len(starts.read_text().split())) == ([], 1)
    monkeypatch.setattr(companion, "START_SECONDS", 0)
    until(lambda: helper.look() or len(starts.read_text().split()) == 2)
    helper.stop()


def test_one_that_does_not_end_when_told_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(companion, "STOP_SECONDS", 0.1)
    said, up = [], tmp_path / "up"
    program = f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(up)!r}, 'w'); time.sleep(60)"
    helper = beside(program, said)
    until(lambda: helper.look() or up.exists())
    helper.stop()
    assert said == ["the helper did not stop within 0.1 s; ending it"]
