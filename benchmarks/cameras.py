"""Many cameras on one server. `python -m benchmarks.cameras [--cameras 8] [--fps 10] [--minutes 5] [--kill]`.

Synthetic cameras, 640x480, each with faces that come, go and cross, run by the client's own pipeline in a process of
its own beside the server: liveness of every track and one watched person. Every ten seconds it notes each camera's
rate, latency (from reading to result) and counts, and the memory of both sides. --kill ends tritonserver with
SIGKILL in the middle. Writes benchmarks/results/cameras-8x10.json, or cameras-8x10-killed.json.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cv2
import psutil
import typer

from benchmarks import ROOT
from benchmarks.bench.machine import machine
from benchmarks.soak import server_megabytes
from facegate.cameras.run import Feed, Run, Settings
from facegate.cameras.sinks.json_lines import JsonLines
from facegate.cameras.stats import CameraSnapshot
from facegate.cameras.synthetic.source import Synthetic, scene_of
from facegate.cameras.transports import shared_file
from facegate.cli.running import running_server
from facegate.serve import shared_memory
from facegate_client import AsyncFaceClient
from facegate_client.imaging.image import decode

STEP_S = 10.0
SIZE = 640, 480
WATCHED = "img1.jpg"
SETTLED_S = 60.0
"""Memory is compared from here on: by then pools and caches have their size."""


@dataclass
class Reading:
    """One moment: seconds since the start, megabytes of both sides, and of each camera its rate and latency."""

    at_s: float
    client_mb: float
    server_mb: float
    per_second: list[float]
    p50_ms: list[float | None]
    p95_ms: list[float | None]


@dataclass
class Readings:
    """All moments of a run."""

    of: list[Reading] = field(default_factory=list)

    def add(self, run: Run, began: float, watcher: int) -> None:
        """Takes one, and says it."""
        snapshots = run.snapshots()
        latencies = [snapshot.latency for snapshot in snapshots]
        reading = Reading(
            round(time.monotonic() - began, 1),
            round(psutil.Process().memory_full_info().uss / 1e6, 1),
            round(server_megabytes(watcher), 1),
            [round(latency.per_second, 2) for latency in latencies],
            [_milliseconds(latency.p50_s) for latency in latencies],
            [_milliseconds(latency.p95_s) for latency in latencies],
        )
        self.of.append(reading)
        worst = max((value for value in reading.p95_ms if value is not None), default=None)
        slowest = min(reading.per_second)
        print(
            f"{reading.at_s:6.0f} s: {sum(reading.per_second):6.1f} frames/s, slowest camera {slowest}, "
            f"worst p95 {worst} ms, client {reading.client_mb} MB, server {reading.server_mb} MB",
            flush=True,
        )


def main(
    cameras: Annotated[int, typer.Option(min=1)] = 8,
    fps: Annotated[float, typer.Option(min=0.1)] = 10.0,
    minutes: Annotated[float, typer.Option(min=0.1)] = 5.0,
    kill: Annotated[bool, typer.Option("--kill", help="Kill tritonserver in the middle.")] = False,
) -> None:
    """Run the cameras and report."""
    folder = Path(os.environ.get("FACEGATE_MIRROR", "")) / "images" / "verification"
    if not folder.is_dir():
        sys.exit("the pictures are not here: set FACEGATE_MIRROR to a directory with images/verification")
    cv2.setNumThreads(1)  # as the command does
    before = _regions()
    with running_server("--client-shm") as (address, watcher):
        result = asyncio.run(_measure(address, watcher.pid, folder, cameras, fps, minutes * 60, kill))
    result["shared_memory_left_behind"] = [name for name in _regions() - before if _of(name, watcher.pid)]
    print(json.dumps({name: value for name, value in result.items() if name != "readings"}, indent=2))
    out = ROOT / "benchmarks" / "results" / f"cameras-{cameras}x{fps:g}{'-killed' if kill else ''}.json"
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


async def _measure(
    address: str, watcher: int, folder: Path, cameras: int, fps: float, seconds: float, kill: bool
) -> dict[str, Any]:
    async with AsyncFaceClient(address, timeout_s=5) as client:
        feeds = await _feeds(client, folder, cameras, fps)
        settings = Settings(anti_spoofing=True, photos=[folder / WATCHED])
        lines = JsonLines(os.devnull)
        run = Run(client, feeds, settings, [lines], say=lambda line: print(line, flush=True))
        began = time.monotonic()
        readings = Readings()
        cpu = _cpu(watcher)
        running = asyncio.create_task(run.run())
        while time.monotonic() - began < seconds and not running.done():
            await asyncio.sleep(STEP_S)
            readings.add(run, began, watcher)
            if kill and len(readings.of) == int(seconds / STEP_S / 2):
                _kill(watcher)
        took = time.monotonic() - began
        spent = {side: round((now - cpu[side]) / took, 2) for side, now in _cpu(watcher).items()}
        run.stop()
        await running
        await lines.close()
        return _report(run.snapshots(), readings, fps, took, spent)


async def _feeds(client: AsyncFaceClient, folder: Path, cameras: int, fps: float) -> list[Feed]:
    pictures = []
    for path in sorted(folder.glob("*.jpg")):
        pixels = decode(path.read_bytes())
        pictures.append((pixels, await client.analyze(pixels, embeddings=False, max_faces=1)))

    def feed(number: int) -> Feed:
        name = f"camera-{number}"
        scene = scene_of(pictures, seed=number, size=SIZE, fps=fps)
        return Feed(name, lambda notices: Synthetic(scene, name=name, live=True))

    return [feed(number) for number in range(1, cameras + 1)]


def _report(
    snapshots: list[CameraSnapshot], readings: Readings, fps: float, seconds: float, spent: dict[str, float]
) -> dict[str, Any]:
    answered = [snapshot.answered for snapshot in snapshots]
    faces = sum(snapshot.detections for snapshot in snapshots)
    judgements = sum(sum(snapshot.judgements.values()) for snapshot in snapshots)
    settled = [reading for reading in readings.of if reading.at_s >= SETTLED_S]
    worst = [max(told) for reading in settled if (told := [value for value in reading.p95_ms if value is not None])]
    middle = [
        statistics.median(told)
        for reading in settled
        if (told := [value for value in reading.p50_ms if value is not None])
    ]
    return {
        "machine": machine(),
        "cameras": len(snapshots),
        "asked_fps": fps,
        "seconds": round(seconds, 1),
        "answered_per_second": {snapshot.camera: round(snapshot.answered / seconds, 2) for snapshot in snapshots},
        "slowest_to_fastest_camera": round(min(answered) / max(answered), 3),
        "p50_ms_median_of_windows": middle and statistics.median(middle),
        "worst_p95_ms_of_a_camera_in_a_window": worst and max(worst),
        "worst_p95_ms_median_of_windows": worst and statistics.median(worst),
        "counts": {snapshot.camera: _counts(snapshot) for snapshot in snapshots},
        "counts_add_up": all(
            snapshot.read == snapshot.sent + snapshot.dropped and snapshot.sent == snapshot.answered + snapshot.failed
            for snapshot in snapshots
        ),
        "faces": faces,
        "judgements": judgements,
        "faces_per_judgement": round(faces / judgements, 2) if judgements else None,
        "cores_used": spent,
        "memory_growth_after_a_minute": {
            side: f"{getattr(settled[-1], side)} MB at the end, {getattr(settled[0], side)} MB after a minute "
            f"({getattr(settled[-1], side) / getattr(settled[0], side) - 1:+.1%})"
            for side in ("client_mb", "server_mb")
            if settled
        },
        "readings": [vars(reading) for reading in readings.of],
    }


def _counts(snapshot: CameraSnapshot) -> dict[str, Any]:
    names = ("read", "sent", "dropped", "answered", "failed")
    return {**{name: getattr(snapshot, name) for name in names}, "failures": dict(snapshot.failures)}


def _regions() -> set[str]:
    return {path.name for path in shared_memory.REGIONS.iterdir()}


def _of(name: str, watcher: int) -> bool:
    """Whether a region is this run's: of its server, or a client's frames."""
    return f"-{watcher}-" in name or name.startswith(shared_file.START)


def _cpu(watcher: int) -> dict[str, float]:
    """Processor seconds of both sides so far; a killed server's are lost."""
    own = psutil.Process().cpu_times()
    children = [child.cpu_times() for child in psutil.Process(watcher).children(recursive=True)]
    return {"client": own.user + own.system, "server": sum(times.user + times.system for times in children)}


def _kill(watcher: int) -> None:
    for child in psutil.Process(watcher).children(recursive=True):
        if child.name() == "tritonserver":
            print(f"kill -9 {child.pid}", flush=True)
            child.kill()


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


if __name__ == "__main__":
    typer.run(main)
