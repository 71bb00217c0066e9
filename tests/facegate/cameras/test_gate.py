"""Permits: never more than there are, taken in turns, fewer after a refusal and back after answers."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from facegate.cameras import gate as gate_module
from facegate.cameras.gate import Gate


def test_no_more_than_so_many_at_once() -> None:
    async def main() -> int:
        gate, busy, most = Gate(3), 0, 0

        async def work() -> None:
            nonlocal busy, most
            await gate.acquire()
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0)
            busy -= 1
            gate.release()

        await asyncio.gather(*(work() for _ in range(20)))
        return most

    assert asyncio.run(main()) == 3


def test_cameras_take_turns() -> None:
    async def main() -> Counter[str]:
        gate, served = Gate(2), Counter[str]()

        async def camera(name: str) -> None:
            while sum(served.values()) < 200:
                await gate.acquire()
                await asyncio.sleep(0)
                served[name] += 1
                gate.release()

        await asyncio.gather(*(camera(name) for name in "abcdefgh"))
        return served

    served = asyncio.run(main())
    assert max(served.values()) - min(served.values()) <= 2


def test_refusals_halve_the_permits_and_answers_bring_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "CUT_EVERY_S", 0.0)

    async def main() -> list[int]:
        gate = Gate(8)
        limits = []
        for _ in range(5):
            gate.refused()
            limits.append(gate.limit)
        for _ in range(100):
            gate.answered()
        return [*limits, gate.limit]

    assert asyncio.run(main()) == [4, 2, 1, 1, 1, 8]


def test_refusals_of_one_moment_count_once() -> None:
    async def main() -> int:
        gate = Gate(8)
        for _ in range(10):
            gate.refused()
        return gate.limit

    assert asyncio.run(main()) == 4


def test_rests_grow_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "CUT_EVERY_S", 0.0)
    monkeypatch.setattr(gate_module.random, "uniform", lambda low, high: high)

    async def main() -> list[float]:
        gate = Gate(8)
        rests = [gate.refused() for _ in range(12)]
        gate.answered()
        return [*rests, gate.refused()]

    rests = asyncio.run(main())
    assert rests[:3] == [0.1, 0.2, 0.4] and rests[11] == 2.0 and rests[12] == 0.1


@pytest.mark.parametrize("granted_first", [False, True])
def test_who_gives_up_waiting_takes_no_permit_with_them(granted_first: bool) -> None:
    async def main() -> None:
        gate = Gate(1)
        await gate.acquire()
        waiting = asyncio.create_task(gate.acquire())
        await asyncio.sleep(0)
        if granted_first:
            gate.release()  # the permit is theirs, but they do not know yet
            waiting.cancel()
        else:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            gate.release()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.wait_for(gate.acquire(), 5)

    asyncio.run(main())
