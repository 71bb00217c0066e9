"""What does it cost to get a frame to the server on the same machine? `python -m benchmarks.transports [--rounds 7]`.

Shared memory, raw pixels and JPEG, by the carriers that camera pipelines use, with one caller (latency) and four tasks
at a time (throughput), of one client process. A frame is either detected in, one call; or judged, as a camera has a
frame of new faces judged: detected in, and then asked for the liveness of what was found. CPU is user and system time,
of the client's process and of all the server's, over both. Kinds take turns in a changing order. Then, on raw frames of
640x480: a call for each frame against one stream that carries them all, which Triton has too.

Prints a table, whose last two columns are CPU milliseconds a frame, and writes benchmarks/results/transports.json.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import numpy as np
import psutil
import typer
from numpy.typing import NDArray

from benchmarks import ROOT
from benchmarks.bench.machine import machine
from benchmarks.bench.pictures import made
from benchmarks.bench.spread import spread
from benchmarks.bench.streaming import stream, unary
from facegate.cameras.transports.carrier import Carrier, CarrierKind
from facegate.cameras.transports.choice import choose
from facegate.cameras.transports.jpeg import QUALITY
from facegate.cli.running import running_server
from facegate_client import AsyncFaceClient

SIZES = {"640x480": (480, 640), "1080p": (1080, 1920), "4K": (2160, 3840)}
KINDS = (CarrierKind.shared_memory, CarrierKind.raw, CarrierKind.jpeg)
TASKS = 4
FRAMES = 24  # of each kind in a round, with one caller, and as many with four

Pixels = NDArray[np.uint8]
Figures = dict[str, list[float]]
Work = Callable[[AsyncFaceClient, Carrier, Pixels], Awaitable[None]]


async def _detect(client: AsyncFaceClient, carrier: Carrier, pixels: Pixels) -> None:
    async with carrier.carry(pixels) as image:
        assert len(await client.analyze(image, embeddings=False)) == 1


async def _judge(client: AsyncFaceClient, carrier: Carrier, pixels: Pixels) -> None:
    async with carrier.carry(pixels) as image:
        found = await client.analyze(image, embeddings=False)
        faces = np.array([[*face.box, *np.ravel(face.landmarks)] for face in found], np.float32)
        judged = await client.analyze(image, faces=faces, embeddings=False, anti_spoofing=True)
        assert len(judged) == 1 and judged[0].is_real is not None


WORKS: dict[str, Work] = {"detection": _detect, "detection and liveness": _judge}


def main(rounds: int = 7) -> None:
    """Measure, print and write."""
    frames = {size: np.frombuffer(made(size, *at, 1, encoded=False).data, np.uint8) for size, at in SIZES.items()}
    pixels = {size: flat.reshape(*SIZES[size], 3) for size, flat in frames.items()}
    with running_server("--client-shm") as (address, process):
        rows, streaming = asyncio.run(_measure(address, psutil.Process(process.pid), pixels, rounds))
    result = {"machine": machine(), "jpeg_quality": QUALITY, "rounds": rounds, "frames": FRAMES, "rows": rows}
    out = ROOT / "benchmarks" / "results" / "transports.json"
    out.write_text(json.dumps({**result, "stream": streaming}, indent=1) + "\n", encoding="utf-8")


async def _measure(
    address: str, server: psutil.Process, pixels: dict[str, Pixels], rounds: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows = []
    async with AsyncFaceClient(address, timeout_s=60) as client:
        head = f"{'frame':8} {'work':23} {'by':14} {'p50 ms':>18} {'p95 ms':>7} {'frames/s of 4':>20}"
        print(f"{head} {'client':>16} server")
        for size, work in ((size, work) for size in SIZES for work in WORKS):
            figures: dict[CarrierKind, Figures] = {kind: defaultdict(list) for kind in KINDS}
            carriers = {kind: (await choose(kind, client, in_flight=TASKS)).make() for kind in KINDS}
            ask = {kind: partial(WORKS[work], client, carriers[kind], pixels[size]) for kind in KINDS}
            for number in range(-1, rounds):  # the first warms up
                for kind in random.Random(number).sample(KINDS, len(KINDS)):  # noqa: S311 - repeatable, not secret
                    told = await _round(ask[kind], server)
                    for name, value in told.items() if number >= 0 else ():
                        figures[kind][name].append(value)
            for kind in KINDS:
                await carriers[kind].close()
                rows.append({"size": size, "work": work, "kind": kind, **_spreads(figures[kind])})
                _print(rows[-1])
    return rows, await _streamed(address, pixels["640x480"], rounds)


async def _round(ask: Callable[[], Awaitable[None]], server: psutil.Process) -> dict[str, float]:
    """Milliseconds, and frames a second of TASKS tasks."""
    client, before = psutil.Process(), [_cpu_s([psutil.Process()]), _cpu_s(server.children(recursive=True))]
    timed = await _timed(ask)
    after = [_cpu_s([client]), _cpu_s(server.children(recursive=True))]
    used = [1000 * (late - early) / (2 * FRAMES) for early, late in zip(before, after, strict=True)]
    return {**timed, "client_cpu_ms": used[0], "server_cpu_ms": used[1]}


async def _timed(ask: Callable[[], Awaitable[None]]) -> dict[str, float]:
    """Milliseconds of one caller, and frames a second of TASKS tasks."""
    latencies = []
    for _ in range(FRAMES):
        began = time.perf_counter()
        await ask()
        latencies.append(1000 * (time.perf_counter() - began))
    began = time.perf_counter()
    await _in_tasks(ask)
    frames_per_s = FRAMES / (time.perf_counter() - began)
    p95_ms = float(np.quantile(latencies, 0.95))
    return {"p50_ms": statistics.median(latencies), "p95_ms": p95_ms, "frames_per_s": frames_per_s}


async def _in_tasks(ask: Callable[[], Awaitable[None]]) -> None:
    async def some() -> None:
        for _ in range(FRAMES // TASKS):
            await ask()

    await asyncio.gather(*(some() for _ in range(TASKS)))


def _cpu_s(processes: list[psutil.Process]) -> float:
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))


async def _streamed(address: str, pixels: Pixels, rounds: int) -> list[dict[str, Any]]:
    """The same detections by calls and by one stream, both by tritonclient alone."""
    figures: dict[str, Figures] = {"call": defaultdict(list), "stream": defaultdict(list)}
    async with unary(address, pixels) as call, stream(address, pixels) as streamed:
        for number in range(-1, rounds):
            ways = [("call", call), ("stream", streamed)]
            for name, ask in ways if number % 2 else reversed(ways):
                told = await _timed(ask)
                for what, value in told.items() if number >= 0 else ():
                    figures[name][what].append(value)
    rows = [{"size": "640x480", "work": "detection", "kind": name, **_spreads(told)} for name, told in figures.items()]
    for row in rows:
        _print(row)
    return rows


def _spreads(figures: Figures) -> dict[str, Any]:
    return {
        name: {key: round(value, 2) for key, value in dataclasses.asdict(spread(values)).items()}
        for name, values in figures.items()
    }


def _print(row: dict[str, Any]) -> None:
    p50, p95, rate = row["p50_ms"], row["p95_ms"], row["frames_per_s"]
    line = f"{row['size']:8} {row['work']:23} {row['kind']:14} {_text(p50):>18} {p95['median']:7.1f} {_text(rate):>20}"
    if "client_cpu_ms" in row:
        line += f" {row['client_cpu_ms']['median']:16.1f} {row['server_cpu_ms']['median']:6.1f}"
    print(line, flush=True)


def _text(figure: dict[str, float]) -> str:
    return f"{figure['median']:.1f} ({figure['low']:.1f}-{figure['high']:.1f})"


if __name__ == "__main__":
    typer.run(main)
