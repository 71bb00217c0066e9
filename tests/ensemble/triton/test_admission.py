"""Admission: so many at work, so many waiting, so long, and everyone else is told at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import pytest

from facegate_client.contract import Code
from facegate_ensemble.errors import RequestError
from facegate_ensemble.stage_timers import QUEUE, measured
from facegate_ensemble.triton.admission import Admission

LONG = 60.0
Value = TypeVar("Value")


def run(steps: Coroutine[object, object, Value]) -> Value:
    """Ten seconds are far more than any test here needs: what takes longer hangs."""

    async def bounded() -> Value:
        return await asyncio.wait_for(steps, 10)

    return asyncio.run(bounded())


async def hold(admission: Admission, until: asyncio.Event) -> None:
    async with admission.permit():
        await until.wait()


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def is_free(admission: Admission) -> bool:
    async with admission.permit():
        return True


def test_no_more_than_the_permits_work_at_a_time_and_all_are_served() -> None:
    at_work = most = served = 0

    async def one(admission: Admission) -> None:
        nonlocal at_work, most, served
        async with admission.permit():
            at_work += 1
            most = max(most, at_work)
            await settle()
            at_work -= 1
            served += 1

    async def many() -> None:
        admission = Admission(3, 100, LONG)
        await asyncio.gather(*(one(admission) for _ in range(12)))

    run(many())
    assert (most, served) == (3, 12)


def test_who_finds_the_queue_full_is_refused_at_once() -> None:
    async def steps() -> RequestError:
        admission, over = Admission(1, 2, LONG), asyncio.Event()
        others = []
        for _ in range(3):
            others.append(asyncio.create_task(hold(admission, over)))
            await settle()
        with pytest.raises(RequestError) as refusal:
            await is_free(admission)
        over.set()
        await asyncio.gather(*others)
        assert await is_free(admission)
        return refusal.value

    refusal = run(steps())
    assert refusal.code is Code.RESOURCE_EXHAUSTED
    assert str(refusal) == "RESOURCE_EXHAUSTED: 2 requests are waiting already; try again later"


def test_requests_that_arrive_in_one_burst_are_refused_as_well() -> None:
    async def steps() -> list[object]:
        admission, over = Admission(1, 2, LONG), asyncio.Event()
        burst = [asyncio.create_task(hold(admission, over)) for _ in range(10)]
        await settle()
        over.set()
        return await asyncio.gather(*burst, return_exceptions=True)

    assert sum(isinstance(answer, RequestError) for answer in run(steps())) == 7


def test_who_waited_long_enough_is_refused() -> None:
    async def steps() -> RequestError:
        admission, over = Admission(1, 9, 0.02), asyncio.Event()
        holder = asyncio.create_task(hold(admission, over))
        await settle()
        with pytest.raises(RequestError) as refusal:
            await is_free(admission)
        over.set()
        await holder
        assert await is_free(admission)
        return refusal.value

    refusal = run(steps())
    assert str(refusal) == "RESOURCE_EXHAUSTED: no permit within 0.02 s; try again later"


def test_without_waiting_a_free_permit_is_still_given() -> None:
    assert run(is_free(Admission(1, 9, 0.0)))


def test_without_a_queue_a_free_permit_is_still_given() -> None:
    assert run(is_free(Admission(1, 0, LONG)))


def test_how_many_work_and_wait_is_known_all_the_while() -> None:
    async def steps() -> list[tuple[int, int]]:
        admission, over = Admission(2, 9, LONG), asyncio.Event()
        known = [(admission.in_use, admission.waiting)]
        holders = []
        for _ in range(5):
            holders.append(asyncio.create_task(hold(admission, over)))
            await settle()
            known.append((admission.in_use, admission.waiting))
        holders.pop(0).cancel()
        holders.pop().cancel()
        await settle()
        known.append((admission.in_use, admission.waiting))
        over.set()
        await asyncio.gather(*holders)
        return [*known, (admission.in_use, admission.waiting)]

    assert run(steps()) == [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (2, 3), (2, 1), (0, 0)]


def test_the_wait_for_a_permit_is_a_stage_also_when_it_is_in_vain() -> None:
    async def steps() -> list[dict[str, float]]:
        admission, over = Admission(1, 1, 0.05), asyncio.Event()
        with measured() as at_once:
            await is_free(admission)
        holder = asyncio.create_task(hold(admission, over))
        await settle()
        with measured() as in_vain, pytest.raises(RequestError):
            await is_free(admission)
        over.set()
        await holder
        return [at_once, in_vain]

    at_once, in_vain = run(steps())
    assert at_once[QUEUE] < 0.05 <= in_vain[QUEUE]


def test_a_permit_comes_back_after_an_error() -> None:
    async def steps() -> bool:
        admission = Admission(1, 0, LONG)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with admission.permit():
                    raise ZeroDivisionError
        return await is_free(admission)

    assert run(steps())


def test_a_permit_comes_back_when_its_holder_is_cancelled() -> None:
    async def steps() -> bool:
        admission = Admission(1, 0, LONG)
        holder = asyncio.create_task(hold(admission, asyncio.Event()))
        await settle()
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)
        return await is_free(admission)

    assert run(steps())


def test_a_place_in_the_queue_comes_back_when_who_waits_is_cancelled() -> None:
    async def steps() -> bool:
        admission, over = Admission(1, 1, LONG), asyncio.Event()
        holder = asyncio.create_task(hold(admission, over))
        await settle()
        for _ in range(3):
            waiter = asyncio.create_task(is_free(admission))
            await settle()
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)
        last = asyncio.create_task(is_free(admission))
        await settle()
        over.set()
        await holder
        return await last

    assert run(steps())


@pytest.mark.parametrize("turns", range(8))
def test_a_permit_is_not_lost_when_who_waits_is_cancelled_just_as_it_comes(turns: int) -> None:
    async def steps() -> bool:
        admission, over = Admission(1, 9, LONG), asyncio.Event()
        holder = asyncio.create_task(hold(admission, over))
        await settle()
        waiter = asyncio.create_task(is_free(admission))
        await settle()
        over.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, holder, return_exceptions=True)
        return await is_free(admission)

    assert run(steps())
