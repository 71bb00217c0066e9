"""The watcher waits for requests under way, and no new one begins once it stops."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from facegate_ensemble.errors import RequestError
from facegate_ensemble.triton.drain import BUSY, STOPPING, Drain


def idle(folder: Path) -> bool:
    with (folder / BUSY).open("w") as busy:
        try:
            fcntl.flock(busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_busy_until_the_last_request_of_the_last_process_has_ended(tmp_path: Path) -> None:
    one, other = Drain(str(tmp_path)), Drain(str(tmp_path))
    assert idle(tmp_path)
    with one.request():
        with one.request(), other.request():
            assert not idle(tmp_path)
        assert not idle(tmp_path)
    assert idle(tmp_path)


def test_when_it_stops_a_request_is_refused_and_holds_nothing(tmp_path: Path) -> None:
    drain = Drain(str(tmp_path))
    (tmp_path / STOPPING).touch()
    with pytest.raises(RequestError, match=r"^RESOURCE_EXHAUSTED: the server is stopping"), drain.request():
        pytest.fail("the request began")
    assert idle(tmp_path)


def test_a_failed_request_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Drain(str(tmp_path)).request():
        raise ZeroDivisionError
    assert idle(tmp_path)


def test_without_a_watcher_nothing_is_done() -> None:
    with Drain(None).request():
        pass
