"""Times of a request's stages, whichever task or thread they end in."""

from __future__ import annotations

import asyncio

import pytest

from ensemble.stages import DECODE, DETECT, TOTAL, measured, timed


async def after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


def test_a_stage_is_measured_in_a_task_of_its_own_and_adds_up() -> None:
    async def steps() -> dict[str, float]:
        with measured() as seconds:
            assert await timed(DECODE, after(0.02)) == "done"
            await asyncio.gather(timed(DETECT, after(0.01)), timed(DETECT, asyncio.to_thread(sum, [1, 2])))
            assert await timed(DECODE, after(0.02)) == "done"
        return seconds

    seconds = asyncio.run(steps())
    assert list(seconds) == [DECODE, DETECT, TOTAL]
    assert seconds[DECODE] == pytest.approx(0.04, abs=0.03)
    assert seconds[DECODE] + 0.01 <= seconds[TOTAL] < 1


def test_requests_at_the_same_time_are_told_apart() -> None:
    async def one(stage: str) -> dict[str, float]:
        with measured() as seconds:
            await timed(stage, after(0.01))
        return seconds

    async def both() -> list[dict[str, float]]:
        return await asyncio.gather(one(DECODE), one(DETECT))

    assert [set(seconds) for seconds in asyncio.run(both())] == [{DECODE, TOTAL}, {DETECT, TOTAL}]


def test_a_stage_that_fails_is_measured_and_fails() -> None:
    async def fault() -> None:
        raise ZeroDivisionError

    async def steps() -> dict[str, float]:
        with pytest.raises(ZeroDivisionError), measured() as seconds:
            await timed(DETECT, fault())
        return seconds

    assert set(asyncio.run(steps())) == {DETECT, TOTAL}


def test_nobody_has_to_measure() -> None:
    assert asyncio.run(timed(DECODE, after(0))) == "done"
