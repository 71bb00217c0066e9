"""Who answers when the server does not: every kind of failure, for threads and for tasks, with fakes on both sides."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from facegate_client import (
    BadImage,
    DeadlineExceeded,
    FaceGateError,
    InvalidRequest,
    LivenessUnavailable,
    Model,
    NoFace,
    Overloaded,
    ServerFault,
    Unreachable,
    fallback,
)
from facegate_client.breaker import LONGEST_COOL_DOWN_S, Breaker
from facegate_client.errors import from_status
from facegate_client.fallback import AsyncFallbackTransport, FallbackTransport
from facegate_client.transport.base import Answer, Call
from support.blocking import Blocking
from support.clock import Clock
from support.fake_triton import DIGEST, model, verify_answer

CALL = Call("face_verify", (), {})
STOPPING = from_status(None, "RESOURCE_EXHAUSTED: the server is stopping; ask again later")


def answer(*, local: bool = False, **said: Any) -> Answer:
    return Answer(verify_answer(MODEL=model(**said)), local)


class Remote:
    """A server that answers what the test says, and keeps the seconds that it was given."""

    def __init__(self) -> None:
        self.answer: Callable[[float], Answer] = lambda timeout_s: answer()
        self.probe: Callable[[], Answer] = answer
        self.given: list[float] = []
        self.probes = 0

    def infer(self, call: Call, timeout_s: float) -> Answer:
        if call is not CALL:
            self.probes += 1
            return self.probe()
        self.given.append(timeout_s)
        return self.answer(timeout_s)

    def is_model_ready(self, model: str, timeout_s: float) -> bool:
        return True

    def close(self) -> None: ...

    def fails(self, error: Exception) -> None:
        self.answer = lambda timeout_s: raises(error)


class AsyncRemote:
    """The same for an event loop."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        return await asyncio.to_thread(self._remote.infer, call, timeout_s)

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        return await asyncio.to_thread(self._remote.is_model_ready, model, timeout_s)

    async def close(self) -> None: ...


class Nets:
    """Local nets that answer what the test says."""

    model = Model("mobileface", "MIT", True, DIGEST, "e", "fp32", 0.4, local=True)

    def __init__(self) -> None:
        self.answer: Callable[[float], Answer] = lambda timeout_s: answer(local=True)
        self.given: list[float] = []
        self._pool = ThreadPoolExecutor(32)

    def start(self, call: Call, timeout_s: float) -> Future[Answer]:
        self.given.append(timeout_s)
        return self._pool.submit(lambda: self.answer(timeout_s))

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def remote() -> Remote:
    return Remote()


@pytest.fixture
def nets() -> Nets:
    return Nets()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["threads", "asyncio"])
def both(request: pytest.FixtureRequest, remote: Remote, nets: Nets, clock: Clock) -> Iterator[Any]:
    """The server with the fallback, on the breaker's own clock."""
    with ExitStack() as closing:
        if request.param == "threads":
            made = FallbackTransport(remote, nets, "box:8001", Breaker(clock))
            closing.callback(made.close)
            yield made
        else:
            yield closing.enter_context(
                Blocking(AsyncFallbackTransport(AsyncRemote(remote), nets, "box:8001", Breaker(clock)))
            )


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "facegate_client"]


def test_a_server_that_answers_is_all_there_is(
    both: Any, remote: Remote, nets: Nets, caplog: pytest.LogCaptureFixture
) -> None:
    assert not both.infer(CALL, 4.0).local
    assert len(remote.given) == 1
    assert 1.5 < remote.given[0] <= 2
    assert nets.given == []
    assert said(caplog) == []


@pytest.mark.parametrize(
    ("error", "asked"), [(Unreachable("gone"), 3), (DeadlineExceeded("late"), 1), (STOPPING, 1)], ids=str
)
def test_what_this_process_answers_instead(
    both: Any, remote: Remote, caplog: pytest.LogCaptureFixture, error: FaceGateError, asked: int
) -> None:
    remote.fails(error)
    assert both.infer(CALL, 4.0).local
    assert len(remote.given) == asked
    assert both.infer(CALL, 4.0).local
    assert len(remote.given) == asked  # it is not asked while the breaker is open
    assert said(caplog) == [f"this process answers in place of box:8001: {error}"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("no permit"),
        LivenessUnavailable("not served"),
        ServerFault("incident 1"),
        InvalidRequest("threshold"),
        BadImage("truncated"),
        NoFace("no face in image 2"),
        FaceGateError("forbidden"),
        ValueError("a fault of this client"),
    ],
    ids=str,
)
def test_what_stays_the_servers_word(
    both: Any, remote: Remote, nets: Nets, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    remote.fails(error)
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            both.infer(CALL, 4.0)
        assert caught.value is error
    assert len(remote.given) == 2  # nor is it asked again
    assert nets.given == []
    assert said(caplog) == []


def test_a_repetition_may_be_answered(both: Any, remote: Remote, nets: Nets) -> None:
    def once_gone(timeout_s: float) -> Answer:
        if len(remote.given) == 1:
            raise Unreachable("reset")
        return answer()

    remote.answer = once_gone
    assert not both.infer(CALL, 4.0).local
    assert len(remote.given) == 2
    assert nets.given == []


def test_what_the_local_nets_refuse_is_refused(both: Any, remote: Remote, nets: Nets) -> None:
    remote.fails(Unreachable("gone"))
    nets.answer = lambda timeout_s: raises(NoFace("no face in image 1"))
    with pytest.raises(NoFace):
        both.infer(CALL, 4.0)


def test_one_probe_in_the_background_finds_the_server(
    both: Any, remote: Remote, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    remote.fails(Unreachable("gone"))
    both.infer(CALL, 4.0)
    remote.answer = lambda timeout_s: answer()
    found = threading.Event()

    def wait() -> Answer:
        assert found.wait(10)
        return answer()

    remote.probe = wait
    clock.now += LONGEST_COOL_DOWN_S
    for _ in range(5):
        assert both.infer(CALL, 4.0).local  # nobody waits for it
    wait_until(lambda: remote.probes > 0)
    found.set()
    wait_until(lambda: said(caplog)[-1] == "box:8001 answers again")
    assert remote.probes == 2  # one for each model
    assert not both.infer(CALL, 4.0).local
    assert len(said(caplog)) == 2


@pytest.mark.parametrize(
    "found",
    [
        Unreachable("gone"),
        DeadlineExceeded("late"),
        ServerFault("its process is not healthy"),
        STOPPING,
        ValueError("closed"),
    ],
    ids=str,
)
def test_a_probe_that_finds_nothing_is_tried_again(both: Any, remote: Remote, clock: Clock, found: Exception) -> None:
    remote.fails(Unreachable("gone"))
    both.infer(CALL, 4.0)
    remote.answer = lambda timeout_s: answer()
    remote.probe = lambda: raises(found)
    for _ in range(2):
        seen = remote.probes
        while remote.probes == seen:
            assert later(both, clock).local
    remote.probe = answer
    wait_until(lambda: not later(both, clock).local)
    assert len(remote.given) == 4


@pytest.mark.parametrize("found", [NoFace("no face in image 1 and image 2"), Overloaded("no permit")], ids=str)
def test_a_server_that_sees_no_face_or_is_full_is_back(
    both: Any, remote: Remote, clock: Clock, found: FaceGateError
) -> None:
    remote.fails(Unreachable("gone"))
    both.infer(CALL, 4.0)
    remote.answer = lambda timeout_s: answer()
    remote.probe = lambda: raises(found)
    wait_until(lambda: not later(both, clock).local)


def test_a_probe_finds_other_nets_before_a_call_does(
    both: Any, remote: Remote, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    remote.fails(Unreachable("gone"))
    both.infer(CALL, 4.0)
    remote.probe = lambda: answer(digest="other")
    later(both, clock)
    wait_until(lambda: len(said(caplog)) == 3)
    assert "are not the same" in said(caplog)[1]
    with pytest.raises(Unreachable, match="no fallback"):
        both.infer(CALL, 4.0)


def raises(error: Exception) -> Answer:
    raise error


def later(both: Any, clock: Clock) -> Answer:
    """The answer to a call when the cool-down is over."""
    clock.now += LONGEST_COOL_DOWN_S
    return both.infer(CALL, 4.0)  # type: ignore[no-any-return]


def test_a_probe_that_cannot_start_is_no_last_one(
    remote: Remote, nets: Nets, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    both = FallbackTransport(remote, nets, "box:8001", Breaker(clock))
    nets.start(CALL, 1.0).result()  # its thread is there
    remote.fails(Unreachable("gone"))
    both.infer(CALL, 4.0)
    clock.now += LONGEST_COOL_DOWN_S
    with monkeypatch.context() as patched:
        patched.setattr(fallback.threading.Thread, "start", refuse)
        assert both.infer(CALL, 4.0).local
    assert remote.probes == 0
    clock.now += LONGEST_COOL_DOWN_S
    assert both.infer(CALL, 4.0).local
    wait_until(lambda: remote.probes > 0)
    both.close()


@pytest.mark.parametrize("local_s", [0.0, 5.0])
def test_a_silent_server_leaves_half_the_time_to_the_local_nets(
    both: Any, remote: Remote, nets: Nets, local_s: float
) -> None:
    def silent(timeout_s: float) -> Answer:
        time.sleep(timeout_s)
        raise DeadlineExceeded("late")

    def slow(timeout_s: float) -> Answer:
        time.sleep(min(local_s, timeout_s))
        if local_s > timeout_s:
            raise DeadlineExceeded("late here too")
        return answer(local=True)

    remote.answer, nets.answer = silent, slow
    began = time.monotonic()
    if local_s:
        with pytest.raises(DeadlineExceeded, match="late here too"):
            both.infer(CALL, 1.0)
        assert time.monotonic() - began < 1.5
    else:
        assert both.infer(CALL, 1.0).local
        assert time.monotonic() - began < 0.95
    assert remote.given[0] <= 0.5
    assert 0.2 < nets.given[0] <= 0.5


def test_repetitions_end_with_the_servers_share(both: Any, remote: Remote, nets: Nets) -> None:
    def slowly_gone(timeout_s: float) -> Answer:
        time.sleep(0.3)
        raise Unreachable("gone")

    remote.answer = slowly_gone
    both.infer(CALL, 0.5)
    assert len(remote.given) == 1
    assert 0.05 < nets.given[0] < 0.25


@pytest.mark.parametrize("digest", ["f" * 64, ""])
def test_other_nets_never_stand_in(
    both: Any, remote: Remote, nets: Nets, caplog: pytest.LogCaptureFixture, digest: str
) -> None:
    remote.fails(Unreachable("gone"))
    assert both.infer(CALL, 4.0).local  # nobody can know yet
    caplog.clear()
    for _ in range(2):
        both._switch.answered(both._switch.turn(), answer(pack="buffalo_l", digest=digest))
    why = (
        f"the server serves pack buffalo_l (digest {digest[:12] or 'none'}), the local one is mobileface "
        f"({DIGEST[:12]}): their answers are not the same"
    )
    assert said(caplog) == [f"{why}; without the server nothing is answered"]
    given = len(nets.given)
    for error in (Unreachable("gone"), DeadlineExceeded("late")):
        remote.fails(error)
        with pytest.raises(type(error)) as caught:
            both.infer(CALL, 4.0)
        assert str(caught.value) == f"{error}; no fallback: {why}"
        assert remote.given[-1] > 2.5  # all of the time is the server's again
    remote.answer = lambda timeout_s: answer(digest=digest)
    assert not both.infer(CALL, 4.0).local
    assert len(nets.given) == given


def test_an_answer_that_does_not_name_its_nets_is_a_fault(both: Any, remote: Remote, nets: Nets) -> None:
    remote.answer = lambda timeout_s: Answer(verify_answer(MODEL=None))
    with pytest.raises(ServerFault, match="lacks MODEL"):
        both.infer(CALL, 4.0)
    assert nets.given == []


def test_no_call_is_lost_while_the_server_goes_and_comes(
    both: Any, remote: Remote, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Sixteen threads; the server goes while their calls are under way, and comes back."""
    alive, stop = threading.Event(), threading.Event()
    alive.set()

    def serve(timeout_s: float) -> Answer:
        time.sleep(0.002)
        if not alive.is_set():
            raise Unreachable("gone")
        return answer()

    remote.answer, remote.probe = serve, lambda: serve(1.0)
    answers: list[bool] = []

    def ask() -> None:
        while not stop.is_set():
            answers.append(both.infer(CALL, 10.0).local)

    def see(local: bool, count: int = 50) -> None:
        before = answers.count(local)
        wait_until(lambda: answers.count(local) >= before + count)

    def probed() -> bool:
        clock.now += LONGEST_COOL_DOWN_S  # each time: a probe from before may have been on its way still
        return len(said(caplog)) == 2

    with ThreadPoolExecutor(16) as pool:
        asking = [pool.submit(ask) for _ in range(16)]
        try:
            see(local=False)
            alive.clear()
            see(local=True)
            clock.now += LONGEST_COOL_DOWN_S
            see(local=True)
            alive.set()
            wait_until(probed)
            see(local=False)
        finally:
            stop.set()
        for each in asking:
            each.result()  # no exception
    assert said(caplog) == ["this process answers in place of box:8001: gone", "box:8001 answers again"]


@pytest.mark.parametrize("where", ["server", "local"])
def test_a_cancelled_call_goes_no_further(remote: Remote, nets: Nets, where: str) -> None:
    release = threading.Event()

    def hang(timeout_s: float) -> Answer:
        release.wait(10)
        return answer()

    async def run() -> None:
        both = AsyncFallbackTransport(AsyncRemote(remote), nets, "box:8001")
        if where == "server":
            remote.answer = hang
        else:
            remote.fails(Unreachable("gone"))
            nets.answer = hang
        call = asyncio.create_task(both.infer(CALL, 10.0))
        while not (remote.given if where == "server" else nets.given):
            await asyncio.sleep(0.005)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert len(nets.given) == (where == "local")
        release.set()
        remote.answer = nets.answer = lambda timeout_s: answer()
        assert await both.infer(CALL, 10.0)
        await both.close()

    asyncio.run(run())


# The clients that are made of it.


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fallback": "remote"}, "fallback: expected 'local' or None, got 'remote'"),
        ({"local_repository": "here"}, "local_repository: is for fallback='local' only"),
    ],
)
def test_what_makes_no_fallback_is_named(new_client: Callable[..., Any], options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        new_client(**options)


def test_a_missing_package_names_the_extra(new_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "facegate_client.fallback")
    monkeypatch.setitem(sys.modules, "tenacity", None)
    with pytest.raises(ImportError, match=r"tenacity.*pip install 'facegate\[local\]'"):
        new_client(fallback="local")


@pytest.mark.parametrize(
    "there", [None, "", "parameters { }", 'parameters { key: "pack" value { string_value: "{}" } }']
)
def test_a_repository_that_is_none_is_told_at_once_in_a_line(
    new_client: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str | None
) -> None:
    if there is not None:
        (tmp_path / "face_analyze").mkdir()
        (tmp_path / "face_analyze" / "config.pbtxt").write_text(there)
    monkeypatch.setenv("FACEGATE_LOCAL_REPOSITORY", str(tmp_path))
    with pytest.raises(ValueError, match=r"the local nets of .* cannot be opened: ") as caught:
        new_client(fallback="local")
    assert "\n" not in str(caught.value)
