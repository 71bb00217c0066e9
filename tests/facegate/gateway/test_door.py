"""Who comes in, how fast and how many, without a server around it."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import re

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from facegate.errors import ServeError
from facegate.gateway.door import body, request_id
from facegate.gateway.door.body import LINGER_BYTES, discard, read_body
from facegate.gateway.door.browsers import Browsers, checked_origin
from facegate.gateway.door.door import Door, Limits, Rate
from facegate.gateway.door.incidents import failure_for
from facegate.gateway.door.keys import Keys, is_readable_by_others, keys_from_file, keys_from_text, shown_key
from facegate.gateway.errors import Code, GatewayError
from facegate.gateway.running import log_as_json

DESK, GATE = "desk-" + 16 * "d", "gate-" + 16 * "g"
KEYS = Keys([("desk", DESK), ("gate", GATE)])


def code_of(ask):
    with pytest.raises(GatewayError) as refused:
        ask()
    return refused.value.failure.code


def test_a_key_says_whose_it_is():
    door = Door(KEYS, Limits(1, 1, None))
    assert door.caller(DESK).name == "desk"
    assert door.caller(GATE).name == "gate"


@pytest.mark.parametrize("shown", [None, "", "desk", DESK[:-1], DESK + "d", DESK.upper(), "\udcff" * 20, "ü" * 20])
def test_any_other_key_is_refused(shown):
    assert code_of(lambda: Door(KEYS, Limits(1, 1, None)).caller(shown)) is Code.UNAUTHENTICATED


def test_without_keys_everybody_is_one_caller():
    door = Door(None, Limits(1, 1, None))
    assert door.caller(None) == door.caller("whatever")


def test_a_name_may_have_two_keys_so_that_one_can_be_replaced():
    keys = Keys([("desk", DESK), ("desk", GATE)])
    assert keys.name_of(DESK) == keys.name_of(GATE) == "desk"


@pytest.mark.parametrize(
    "pairs", [[("desk", "short")], [("a b", DESK)], [("", DESK)], [("desk", DESK + " x")], [("a", DESK), ("b", DESK)]]
)
def test_keys_that_cannot_be_are_refused_without_repeating_them(pairs):
    with pytest.raises(ServeError) as refused:
        Keys(pairs)
    assert all(key not in str(refused.value) for _, key in pairs)


def test_keys_are_read_from_a_file_and_from_the_environment(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# who may call\n\ndesk {DESK}\n  gate\t{GATE}\n")
    assert (
        list(keys_from_file(file))
        == list(keys_from_text(f"desk:{DESK}, gate:{GATE},"))
        == [
            ("desk", DESK),
            ("gate", GATE),
        ]
    )


def test_a_wrong_line_of_the_file_is_named_and_not_repeated(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"desk {DESK}\n{GATE}\n")
    with pytest.raises(ServeError, match=r"line 2: expected a name and a key") as refused:
        list(keys_from_file(file))
    assert GATE not in str(refused.value)
    with pytest.raises(ServeError) as refused:
        list(keys_from_text(GATE))
    assert GATE not in str(refused.value)


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_file_of_keys_that_others_can_read_is_noticed(tmp_path, mode, is_open):
    (tmp_path / "keys").touch(mode)
    (tmp_path / "keys").chmod(mode)
    assert is_readable_by_others(tmp_path / "keys") is is_open


def test_both_headers_carry_a_key():
    assert shown_key("Bearer abc", None) == shown_key("bearer  abc", "x") == shown_key(None, "abc") == "abc"
    assert shown_key("Basic abc", None) is None
    assert shown_key(None, None) is None


@given(st.floats(0.1, 50), st.lists(st.floats(0, 2), max_size=200))
def test_nobody_gets_more_than_the_rate_and_a_seconds_worth_at_once(per_second, pauses):
    now = [0.0]
    rate = Rate(per_second, lambda: now[0])
    let_in = 0
    for pause in pauses:
        now[0] += pause
        wait_s = rate.wait_s("desk")
        let_in += not wait_s
        assert let_in <= max(per_second, 1) + now[0] * per_second + 1e-6
        if wait_s:  # and it is told exactly how long to wait
            now[0] += wait_s + 1e-9
            assert rate.wait_s("desk") == 0
            let_in += 1


def test_one_callers_rate_is_not_anothers():
    door = Door(KEYS, Limits(9, 9, 1.0))
    with door.admitted(door.caller(DESK)), pytest.raises(GatewayError) as refused, door.admitted(door.caller(DESK)):
        pass
    assert refused.value.failure.code is Code.RESOURCE_EXHAUSTED
    assert 0 < refused.value.failure.retry_after_s <= 1
    with door.admitted(door.caller(GATE)):
        pass


def test_wrong_keys_use_up_nothing_of_those_who_have_one():
    door = Door(KEYS, Limits(1, 1, 1.0))
    for _ in range(1000):
        code_of(lambda: door.caller("wrong" * 5))
    with door.admitted(door.caller(DESK)):
        assert door.in_flight == 1


def test_one_caller_cannot_keep_all_others_out():
    door = Door(KEYS, Limits(3, 2, None))
    desk, gate = door.caller(DESK), door.caller(GATE)
    with door.admitted(desk), door.admitted(desk):
        assert code_of(door.admitted(desk).__enter__) is Code.RESOURCE_EXHAUSTED
        with door.admitted(gate):
            assert code_of(door.admitted(gate).__enter__) is Code.RESOURCE_EXHAUSTED  # that is all there is room for
    assert door.in_flight == 0


def test_a_place_is_given_back_when_the_answer_fails():
    door = Door(None, Limits(1, 1, None))
    for _ in range(3):
        with pytest.raises(KeyError), door.admitted(door.caller(None)):
            raise KeyError
    assert door.in_flight == 0


def test_a_closed_door_lets_nobody_in_and_waits_for_those_inside():
    async def scenario():
        door = Door(None, Limits(9, 9, None))
        with door.admitted(door.caller(None)):
            door.close()
            assert code_of(door.admitted(door.caller(None)).__enter__) is Code.UNAVAILABLE
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(door.idle(), 0.01)
        await asyncio.wait_for(door.idle(), 1)

    asyncio.run(scenario())


@given(st.text())
def test_a_request_id_is_the_callers_where_it_is_harmless(given_id):
    chosen = request_id.begin(given_id)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", chosen)
    assert chosen == given_id or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given_id)
    assert request_id.current() == chosen


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        (None, True),
        ("http://127.0.0.1:8080", True),
        ("https://desk.example", True),
        ("http://evil.example", False),
        ("http://127.0.0.1:9999", False),
        ("null", False),
        ("", False),
        ("http://[", False),
    ],
)
def test_pages_of_strangers_may_not_call(origin, may):
    browsers = Browsers(("https://desk.example",), ())
    if may:
        browsers.check("127.0.0.1:8080", origin)
    else:
        assert code_of(lambda: browsers.check("127.0.0.1:8080", origin)) is Code.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("localhost:8080", True),
        ("[::1]:8080", True),
        ("127.0.0.1", True),
        ("10.0.0.7:8080", True),
        ("Gate:8080", True),
        ("gate.evil.example", False),
        ("evil.example:8080", False),  # a name of theirs that leads here
        ("localhost.evil.example", False),
        ("", False),
        (None, False),
        ("[", False),
    ],
)
def test_a_strangers_name_for_this_machine_is_not_answered_without_keys(host, may):
    browsers = Browsers((), ("gate",))
    if may:
        browsers.check(host, None)
    else:
        assert code_of(lambda: browsers.check(host, None)) is Code.PERMISSION_DENIED
    Browsers((), None).check(host, None)


@pytest.mark.parametrize(
    "text", ["", "gate:8080", "http://gate", "gate/", "*.example", "*", "[::1]", "a b", "-gate", "ga\nte"]
)
def test_an_allowed_host_that_is_no_host_name_is_refused_at_the_start(text):
    with pytest.raises(ServeError, match="--allowed-host"):
        Browsers((), (text,))


ORIGINS = ["https://desk.example", "http://localhost:5173", "http://[::1]:80000", "capacitor://localhost"]


@pytest.mark.parametrize("origin", ORIGINS)
def test_an_origin_that_a_browser_sends_may_be_named(origin):
    assert checked_origin(origin) == origin


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "",
        "desk.example",
        "https://*.example",
        "https://desk.example/",
        "https://desk.example/page",
        "https://Desk.example",
        "https://desk.example:443",
        "http://desk.example:80",
        "https://me@desk.example",
        "https://a.example https://b.example",
        "https://desk.example\n",
    ],
)
def test_an_origin_that_no_browser_sends_is_refused_at_the_start(text):
    with pytest.raises(ServeError, match="--cors-origin"):
        Browsers(("https://desk.example", text), None)


def body_of(chunks, *, ends=True):
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if ends:
        messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        if not messages:
            await asyncio.sleep(60)
        return messages.pop(0)

    return receive, messages


def test_a_body_that_grows_too_long_is_refused_before_its_end():
    receive, left = body_of([b"x" * 10] * 100)
    assert code_of(lambda: asyncio.run(read_body(receive, 25))) is Code.PAYLOAD_TOO_LARGE
    assert len(left) == 98
    receive, _ = body_of([b"x" * 10] * 2)
    assert asyncio.run(read_body(receive, 20)) == b"x" * 20


def test_a_body_that_does_not_come_is_not_waited_for_forever(monkeypatch):
    monkeypatch.setattr(body, "BODY_SECONDS", 0.02)
    receive, _ = body_of([b"x"], ends=False)
    assert code_of(lambda: asyncio.run(read_body(receive, 20))) is Code.DEADLINE_EXCEEDED


def test_a_body_that_nobody_wants_is_read_to_its_end_so_that_the_answer_arrives():
    receive, left = body_of([b"x" * 2**20] * 3)
    asyncio.run(discard(receive))
    assert left == []


def test_no_more_of_it_is_read_than_a_large_photo():
    receive, left = body_of([b"x" * 2**20] * 100)
    asyncio.run(discard(receive))
    assert len(left) == 101 - LINGER_BYTES // 2**20


def test_it_is_not_waited_for_forever_either(monkeypatch):
    monkeypatch.setattr(body, "LINGER_SECONDS", 0.02)
    receive, left = body_of([b"x"], ends=False)
    asyncio.run(discard(receive))
    assert left == []


@pytest.fixture
def json_log():
    """What was said, and the test run's own logging afterwards."""
    before = logging.root.handlers[:], logging.root.level
    said = io.StringIO()
    log_as_json(said)
    yield lambda: [json.loads(line) for line in said.getvalue().splitlines()]
    structlog.reset_defaults()
    logging.root.handlers[:], logging.root.level = before


def test_a_fault_is_logged_where_it_was_and_never_with_what_was_sent(json_log):
    try:
        secret = "an embedding"
        raise ValueError(f"cannot use {secret}")
    except ValueError as error:
        failure = failure_for(error)
        logging.getLogger("another.package").exception("it broke")
    ours, theirs = json_log()
    assert failure.code is Code.INTERNAL
    assert ours["incident"] in failure.message
    for line in (ours, theirs):
        assert line["error"] == "ValueError"
        assert "test_door.py" in line["traceback"]
        assert "cannot use an embedding" not in json.dumps(line)


def test_what_asyncio_says_of_a_lost_error_is_without_its_text(json_log):
    async def lose() -> None:
        task = asyncio.create_task(fail("an embedding"))
        await asyncio.wait({task})

    async def fail(secret: str) -> None:
        raise ValueError(f"cannot use {secret}")

    asyncio.run(lose())
    gc.collect()
    (line,) = json_log()
    assert (line["event"], line["error"]) == ("Task exception was never retrieved", "ValueError")
    assert "test_door.py" in line["traceback"]
    assert "cannot use an embedding" not in json.dumps(line)
