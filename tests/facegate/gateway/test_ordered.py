"""Several things under way at a time, results in order: the way of AnalyzeStream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.gateway.grpc.service import in_order

WINDOW = 3


class Given:
    """Items that are counted as they are taken."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error, self.taken = count, error, 0

    async def __aiter__(self) -> AsyncIterator[int]:
        for number in range(self.count):
            self.taken += 1
            yield number
        if self.error:
            raise self.error


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(1, 8))
def test_results_come_in_the_order_of_the_items(naps: list[int], window: int) -> None:
    async def work(number: int) -> int:
        for _ in range(naps[number]):
            await asyncio.sleep(0)
        return number

    async def run() -> list[int]:
        return [result async for result in in_order(aiter(Given(len(naps))), work, window)]

    assert asyncio.run(run()) == list(range(len(naps)))


def test_no_more_is_taken_than_the_window_until_a_result_is_taken() -> None:
    async def work(number: int) -> int:
        return number

    async def run() -> None:
        given_items = Given(100)
        results = in_order(aiter(given_items), work, WINDOW)
        assert await anext(results) == 0
        await settle()
        assert given_items.taken == WINDOW
        assert await anext(results) == 1
        await settle()
        assert given_items.taken == WINDOW + 1
        await results.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("how", ["closed", "cancelled"])
def test_nothing_goes_on_after_the_end(how: str) -> None:
    async def run() -> None:
        cancelled = []

        async def work(number: int) -> int:
            try:
                await asyncio.sleep(0 if number == 0 else 60)
            except asyncio.CancelledError:
                cancelled.append(number)
                raise
            return number

        results = in_order(aiter(Given(100)), work, WINDOW)
        assert await anext(results) == 0
        await settle()
        if how == "closed":
            await results.aclose()
        else:
            waiting = asyncio.ensure_future(anext(results))
            await settle()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert sorted(cancelled) == ([1, 2] if how == "closed" else [1, 2, 3])
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


@pytest.mark.parametrize("of", ["items", "work"])
def test_an_error_is_raised_and_ends_it(of: str) -> None:
    async def work(number: int) -> int:
        if of == "work" and number == 2:
            raise LookupError("work")
        return number

    async def run() -> list[int]:
        results: list[int] = []
        try:
            async for result in in_order(aiter(Given(3, LookupError("items"))), work, WINDOW):
                results.append(result)
            pytest.fail("no error")
        except LookupError as error:
            assert str(error) == of
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return results

    assert asyncio.run(run()) == ([0, 1, 2] if of == "items" else [0, 1])
