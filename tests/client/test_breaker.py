"""When a failed server is asked again: one step at a time, on a clock of the test's own."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate_client.breaker import FIRST_COOL_DOWN_S, LONGEST_COOL_DOWN_S, Breaker, Turn, Way
from support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, jitter=lambda: 1.0)  # whole cool-downs


def test_one_failed_call_opens_it_and_only_one_says_so(breaker: Breaker) -> None:
    turns = [breaker.turn() for _ in range(3)]
    assert {turn.way for turn in turns} == {Way.SERVER}
    assert [breaker.failed(turn) for turn in turns] == [True, False, False]
    assert breaker.turn().way is Way.LOCAL


def test_after_the_cool_down_one_call_probes_and_the_others_do_not_wait_for_it(breaker: Breaker, clock: Clock) -> None:
    breaker.failed(breaker.turn())
    clock.now += FIRST_COOL_DOWN_S - 0.01
    assert breaker.turn().way is Way.LOCAL
    clock.now += 0.02
    assert [breaker.turn().way for _ in range(3)] == [Way.PROBE, Way.LOCAL, Way.LOCAL]
    breaker.probed(ready=True)
    assert breaker.turn().way is Way.SERVER


def test_the_cool_down_grows_to_its_limit_and_an_answer_resets_it(breaker: Breaker, clock: Clock) -> None:
    def cool_down() -> float:
        began = clock.now
        while breaker.turn().way is not Way.PROBE:
            clock.now += 0.125
        return clock.now - began

    breaker.failed(breaker.turn())
    waits = []
    for _ in range(5):
        waits.append(cool_down())
        breaker.probed(ready=False)
    assert waits == [1, 2, 4, 5, 5]
    cool_down()
    breaker.probed(ready=True)
    breaker.failed(breaker.turn())  # ready, and yet it does not answer
    assert cool_down() == LONGEST_COOL_DOWN_S
    breaker.probed(ready=True)
    breaker.answered(breaker.turn())
    breaker.failed(breaker.turn())
    assert cool_down() == FIRST_COOL_DOWN_S


def test_the_failure_of_a_call_from_before_the_outage_is_old_news(breaker: Breaker, clock: Clock) -> None:
    slow = breaker.turn()
    breaker.failed(breaker.turn())
    clock.now += FIRST_COOL_DOWN_S
    assert breaker.turn().way is Way.PROBE
    breaker.probed(ready=True)
    assert not breaker.failed(slow)
    assert breaker.turn().way is Way.SERVER


def test_jitter_at_most_halves_a_cool_down(clock: Clock) -> None:
    breaker = Breaker(clock, jitter=lambda: 0.0)
    breaker.failed(breaker.turn())
    clock.now += FIRST_COOL_DOWN_S / 2 - 0.01
    assert breaker.turn().way is Way.LOCAL
    clock.now += 0.02
    assert breaker.turn().way is Way.PROBE


@given(
    st.lists(
        st.sampled_from(["turn", "failed", "answered", "ready", "not ready"])
        | st.floats(0.0, 2 * LONGEST_COOL_DOWN_S, allow_nan=False)
    ),
    st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=1),
)
def test_whatever_happens(events: list[str | float], jitters: list[float]) -> None:
    """At most one probe; none before the cool-down; never the server between an outage and a probe that found it."""
    clock = Clock()
    drawn = iter(jitters * (len(events) + 1))
    breaker = Breaker(clock, jitter=lambda: next(drawn))
    under_way: list[Turn] = []
    probing, closed, cooling_since = False, True, clock.now
    for event in events:
        if isinstance(event, float):
            clock.now += event
        elif event == "turn":
            turn = breaker.turn()
            assert (turn.way is Way.SERVER) == closed
            if turn.way is Way.PROBE:
                assert not probing
                assert clock.now >= cooling_since + FIRST_COOL_DOWN_S / 2
                probing = True
            elif turn.way is Way.LOCAL and not probing:
                assert clock.now <= cooling_since + LONGEST_COOL_DOWN_S
            else:
                under_way.append(turn)
        elif event in ("ready", "not ready") and probing:
            breaker.probed(ready=event == "ready")
            probing, closed, cooling_since = False, event == "ready", clock.now
        elif event == "failed" and under_way:
            if breaker.failed(under_way.pop(0)):
                assert closed
                closed, cooling_since = False, clock.now
        elif event == "answered" and under_way:
            breaker.answered(under_way.pop(0))


def test_threads_get_one_probe_between_them(breaker: Breaker, clock: Clock) -> None:
    breaker.failed(breaker.turn())
    clock.now += LONGEST_COOL_DOWN_S
    ways: Counter[Way] = Counter()
    threads = [threading.Thread(target=lambda: ways.update([breaker.turn().way])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ways[Way.PROBE] == 1
    assert ways[Way.SERVER] == 0
