"""Times of a request's stages, whichever task or thread they end in."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from facegate_ensemble.runtime.worker_pool import Lanes
from facegate_ensemble.stage_timers import DECODE, DETECT, LIVENESS, TOTAL, measured, stage


def take(name: str, seconds: float) -> str:
    with stage(name):
        time.sleep(seconds)
    return "done"


def test_a_stage_adds_up_whichever_thread_its_parts_are_done_by() -> None:
    lanes = Lanes(2, "lane")
    with measured() as seconds:
        assert take(DECODE, 0.02) == "done"
        assert lanes.together([partial(take, DETECT, 0.01)] * 4) == ["done"] * 4
        assert take(DECODE, 0.02) == "done"
    assert list(seconds) == [DECODE, DETECT, TOTAL]
    assert seconds[DECODE] == pytest.approx(0.04, abs=0.03)
    assert seconds[DETECT] == pytest.approx(0.04, abs=0.03)
    assert seconds[DECODE] + 0.01 <= seconds[TOTAL] < 1


def test_a_stage_that_other_tasks_are_waited_for_in_is_measured() -> None:
    async def steps() -> dict[str, float]:
        with measured() as seconds, stage(DECODE):
            await asyncio.sleep(0.02)
        return seconds

    assert asyncio.run(steps())[DECODE] == pytest.approx(0.02, abs=0.03)


def test_requests_at_the_same_time_are_told_apart() -> None:
    """Also in the parts that one lane does for another's request."""
    lanes = Lanes(2, "lane")

    def handle(name: str) -> None:
        take(name, 0.01)
        lanes.together([partial(take, f"{name} in parts", 0.001)] * 8)

    async def one(name: str) -> dict[str, float]:
        with measured() as seconds:
            await asyncio.wrap_future(lanes.start(partial(handle, name)))
        return seconds

    async def all_three() -> list[dict[str, float]]:
        return await asyncio.gather(one(DECODE), one(DETECT), one(LIVENESS))

    assert [set(seconds) for seconds in asyncio.run(all_three())] == [
        {name, f"{name} in parts", TOTAL} for name in (DECODE, DETECT, LIVENESS)
    ]


def test_a_stage_that_fails_is_measured_and_fails() -> None:
    with pytest.raises(ZeroDivisionError), measured() as seconds, stage(DETECT):
        raise ZeroDivisionError
    assert set(seconds) == {DETECT, TOTAL}


def test_nobody_has_to_measure() -> None:
    assert take(DECODE, 0) == "done"
