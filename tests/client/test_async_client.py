"""What only an event loop can do to a client: many tasks at a time, and a call that is cancelled."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from facegate_client import AsyncFaceClient
from support.fake_triton import FakeTriton


def test_fifty_tasks_share_a_client(triton: FakeTriton, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"an image")

    async def run() -> list[Any]:
        async with AsyncFaceClient(triton.url, protocol=triton.protocol) as client:  # type: ignore[arg-type]
            return await asyncio.gather(*(client.verify(tmp_path / "a.jpg", b"another") for _ in range(50)))

    assert [bool(result) for result in asyncio.run(run())] == [True] * 50
    assert len(triton.calls) == 50


def test_a_cancelled_call_does_not_spoil_the_next(triton: FakeTriton) -> None:
    sound = triton.answer

    def hang(call: Any) -> Any:
        triton.release.wait(10)
        return sound(call)

    async def run() -> None:
        async with AsyncFaceClient(triton.url, protocol=triton.protocol) as client:  # type: ignore[arg-type]
            assert await client.verify(b"one", b"two")
            triton.answer = hang
            call = asyncio.create_task(client.analyze(b"one"))
            while len(triton.calls) < 2:
                await asyncio.sleep(0.005)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            triton.answer = sound
            assert await client.verify(b"one", b"two")

    asyncio.run(run())
