"""Lanes: a request's parts come back in order, each done once, by whoever is free; a failure waits for the others."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as waited
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegate_ensemble.runtime.worker_pool import Lanes

LONG = 20  # seconds: what is waited for comes at once, unless the test fails

asked_by: contextvars.ContextVar[str] = contextvars.ContextVar("asked_by", default="nobody")


def here() -> str:
    return threading.current_thread().name


def meet(barrier: threading.Barrier) -> str:
    """Goes on when all are here, which takes a thread for each, and says which one this was."""
    barrier.wait(LONG)
    return here()


class Busy:
    """A request that keeps a lane until it is let go."""

    def __init__(self, lanes: Lanes) -> None:
        self._begun, self._over = threading.Event(), threading.Event()
        self.done: Future[bool] = lanes.start(self._keep)
        assert self._begun.wait(LONG)

    def _keep(self) -> bool:
        self._begun.set()
        return self._over.wait(LONG)

    def let_go(self) -> None:
        self._over.set()
        assert self.done.result(LONG)


@given(lanes=st.integers(1, 5), sizes=st.lists(st.lists(st.integers(0, 4), max_size=6), min_size=1, max_size=8))
@settings(deadline=None, max_examples=60)
def test_parts_of_parts_of_many_requests_are_each_done_once_and_come_in_order(
    lanes: int, sizes: list[list[int]]
) -> None:
    """`sizes`: a request's parts, and the parts of each of these."""
    some, counts, lock = Lanes(lanes, "lane"), Counter[tuple[int, ...]](), threading.Lock()

    def leaf(*place: int) -> tuple[int, ...]:
        with lock:
            counts[place] += 1
        return place

    def part(request: int, number: int, count: int) -> list[tuple[int, ...]]:
        return some.together([partial(leaf, request, number, each) for each in range(count)])

    def request(number: int, counts: list[int]) -> list[list[tuple[int, ...]]]:
        return some.together([partial(part, number, each, count) for each, count in enumerate(counts)])

    started = [some.start(partial(request, number, each)) for number, each in enumerate(sizes)]
    expected = [
        [[(number, i, j) for j in range(count)] for i, count in enumerate(each)] for number, each in enumerate(sizes)
    ]
    assert [each.result(LONG) for each in started] == expected
    some.close()
    assert counts == Counter(leaf for request in expected for each in request for leaf in each)


@given(lanes=st.integers(1, 4), fails=st.lists(st.booleans(), min_size=1, max_size=8))
@settings(deadline=None, max_examples=60)
def test_the_first_failure_is_raised_and_the_others_are_done_all_the_same(lanes: int, fails: list[bool]) -> None:
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        if fails[number]:
            raise ZeroDivisionError(number)
        return number

    some, works = Lanes(lanes, "lane"), [partial(work, number) for number in range(len(fails))]
    if any(fails):
        with pytest.raises(ZeroDivisionError) as failed:
            some.together(works)
        assert failed.value.args == (fails.index(True),)
    else:
        assert some.together(works) == list(range(len(fails)))
    assert sorted(done) == list(range(len(fails)))


def test_a_failure_waits_for_what_another_lane_has_begun() -> None:
    lanes, helping, over = Lanes(2, "lane"), threading.Event(), threading.Event()
    ended: list[str] = []

    def fail() -> None:
        assert helping.wait(LONG)
        raise ZeroDivisionError

    def help_out() -> None:
        helping.set()
        assert over.wait(LONG)
        ended.append(here())

    request = lanes.start(lambda: lanes.together([fail, help_out]))
    assert helping.wait(LONG)
    assert not waited([request], 0.05).done, "it answered while a part of it was under way"
    over.set()
    with pytest.raises(ZeroDivisionError):
        request.result(LONG)
    assert ended


def test_idle_lanes_help() -> None:
    lanes, all_four = Lanes(4, "lane"), threading.Barrier(4)
    names = lanes.start(lambda: lanes.together([partial(meet, all_four)] * 4)).result(LONG)
    assert len(set(names)) == 4
    assert all(name.startswith("lane") for name in names)


def test_parts_of_a_part_are_helped_with_too() -> None:
    lanes, all_three = Lanes(3, "lane"), threading.Barrier(3)

    def outer() -> list[list[str]]:
        return lanes.together([lambda: lanes.together([partial(meet, all_three)] * 3)])

    assert len(set(lanes.start(outer).result(LONG)[0])) == 3


def test_who_is_no_lane_is_helped_too() -> None:
    lanes, both = Lanes(2, "lane"), threading.Barrier(2)
    assert here() in lanes.together([partial(meet, both)] * 2)


def test_a_request_whose_lanes_are_all_busy_does_everything_itself() -> None:
    lanes = Lanes(3, "lane")
    busy = [Busy(lanes), Busy(lanes)]
    own, *names = lanes.start(lambda: [here(), *lanes.together([here] * 6)]).result(LONG)
    assert names == [own] * 6
    for each in busy:
        each.let_go()
    assert lanes.together([here] * 2)


def test_a_lane_that_is_free_takes_the_request_that_waits_and_not_a_part_of_another() -> None:
    lanes, begun, go_on = Lanes(2, "lane"), threading.Event(), threading.Event()
    other = Busy(lanes)

    def request() -> list[str]:
        begun.set()
        assert go_on.wait(LONG)
        return lanes.together([partial(here_while, other) if not number else here for number in range(4)])

    def here_while(other: Busy) -> str:
        other.let_go()
        assert waiting.result(LONG) != here(), "the lane that is free now"
        return here()

    first = lanes.start(request)
    assert begun.wait(LONG)
    waiting = lanes.start(here)
    go_on.set()
    assert len(set(first.result(LONG))) == 1


def test_a_lane_that_helps_goes_to_the_request_that_came_meanwhile() -> None:
    lanes, helped, came = Lanes(2, "lane"), threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        assert helped.wait(LONG)
        other = lanes.start(partial(order.append, "the other request"))
        came.set()
        other.result(LONG)

    def last() -> None:
        helped.set()
        assert came.wait(LONG)

    parts = [partial(order.append, "a part")] * 4
    lanes.start(lambda: lanes.together([first, *parts, last])).result(LONG)
    assert order == ["the other request", *["a part"] * 4]


def test_no_more_than_so_many_are_worked_on_at_a_time() -> None:
    lanes, lock = Lanes(3, "lane"), threading.Lock()
    now, most = 0, 0

    def part() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.001)
        with lock:
            now -= 1

    for request in [lanes.start(lambda: lanes.together([part] * 8)) for _ in range(8)]:
        request.result(LONG)
    assert 1 <= most <= 3


def test_what_the_caller_knows_its_request_and_all_parts_know() -> None:
    lanes, both = Lanes(2, "lane"), threading.Barrier(2)

    def part() -> str:
        both.wait(LONG)
        return asked_by.get()

    def start(name: str) -> Future[list[str]]:
        asked_by.set(name)
        return lanes.start(lambda: lanes.together([part] * 2))

    for name in ("one", "other"):
        assert contextvars.copy_context().run(start, name).result(LONG) == [name] * 2
    assert asked_by.get() == "nobody"


def test_what_a_part_sets_stays_with_it() -> None:
    def part(name: str) -> str:
        before = asked_by.get()
        asked_by.set(name)
        return before

    assert Lanes(1, "lane").together([partial(part, name) for name in "abc"]) == ["nobody"] * 3
    assert asked_by.get() == "nobody"


def test_nothing_to_do_is_done_at_once() -> None:
    assert Lanes(2, "lane").together([]) == []


def fails() -> Callable[[], None]:
    raise ZeroDivisionError


def test_a_request_that_fails_is_its_callers_and_the_lane_goes_on() -> None:
    lanes = Lanes(1, "lane")
    with pytest.raises(ZeroDivisionError):
        lanes.start(fails).result(LONG)
    assert lanes.start(lambda: "next").result(LONG) == "next"


def test_closing_waits_for_what_was_started_and_for_its_parts() -> None:
    lanes, begun, go_on = Lanes(2, "lane"), threading.Event(), threading.Event()

    def request() -> list[str]:
        begun.set()
        assert go_on.wait(LONG)
        return lanes.together([lambda: "done"] * 3)

    answer = lanes.start(request)
    assert begun.wait(LONG)
    closing = threading.Thread(target=lanes.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    go_on.set()
    assert answer.result(LONG) == ["done"] * 3
    closing.join(LONG)
    assert not closing.is_alive()


def test_a_request_that_was_given_up_while_it_waited_takes_no_help_from_the_others() -> None:
    lanes = Lanes(2, "lane")
    busy = [Busy(lanes), Busy(lanes)]
    assert lanes.start(here).cancel()
    for each in busy:
        each.let_go()
    both = threading.Barrier(2)
    assert len(set(lanes.together([partial(meet, both)] * 2))) == 2


class Picture:
    """Something large."""


@pytest.mark.parametrize("fault", [None, ZeroDivisionError])
def test_what_a_request_held_is_let_go_with_it(fault: type[Exception] | None) -> None:
    """Without waiting for the garbage collector: a picture is large, and nothing tells it so."""
    lanes, held = Lanes(2, "lane"), []

    def part(picture: Picture) -> None:
        if fault:
            raise fault

    def request() -> None:
        picture = Picture()
        held.append(weakref.ref(picture))
        lanes.together([partial(part, picture)] * 3)

    gc.collect()
    gc.disable()
    try:
        failed = lanes.start(request).exception(LONG)
        assert isinstance(failed, fault) if fault else failed is None
        del failed
        lanes.close()
        assert [each() for each in held] == [None]
    finally:
        gc.enable()
