"""Does the server's memory grow? `python -m benchmarks.soak [--inferer bls] [--requests 3000]`.

Requests with ever changing pictures (size, content, number of faces, kind of file), verify and analyze in turns, with
liveness, from four callers at a time. Memory is what the server's processes have for themselves (anonymous) and what of
their shared memory is in use; not the pages of programs and libraries, whose count depends on who else runs. Prints a
line every 300 requests and writes benchmarks/results/soak-<inferer>.json.
"""

from __future__ import annotations

import json
import os
import platform
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import psutil
import typer
from numpy.typing import NDArray

from benchmarks import ROOT
from facegate.cli.running import running_server
from facegate.cli.serve import InfererKind
from facegate.serve import shared_memory
from facegate_client import FaceClient, NoFace
from facegate_client.imaging.image import decode

CALLERS = 4
SETTLED = 300
"""Requests after which caches and pools have their size: growth is measured from here."""

REST_SECONDS = 3
"""Before a reading, so that it counts what is kept and not what is under way."""

Picture = NDArray[np.uint8]


def main(inferer: Annotated[InfererKind, typer.Option()] = InfererKind.onnxruntime, requests: int = 3000) -> None:
    """Soak a server and report its memory."""
    folder = Path(os.environ.get("FACEGATE_MIRROR", "")) / "images"
    pictures = [decode(path.read_bytes()) for path in sorted(folder.rglob("*.jpg"))]
    if not pictures:
        sys.exit("the pictures are not here: set FACEGATE_MIRROR to a directory with images/")
    readings: dict[int, float] = {}
    with (
        running_server("--inferer", inferer.value) as (address, process),
        FaceClient(address, timeout_s=60) as client,
        ThreadPoolExecutor(CALLERS) as callers,
    ):
        done = 0
        step = SETTLED
        while done < requests:
            list(callers.map(lambda job: _send(client, *job), _jobs(pictures, step, seed=done)))
            done += step
            time.sleep(REST_SECONDS)
            readings[done] = server_megabytes(process.pid)
            print(f"{done:6} requests: {readings[done]:7.1f} MB", flush=True)
    growth = readings[max(readings)] / readings[SETTLED] - 1
    print(f"growth after the first {SETTLED}: {growth:+.2%}")
    result = {
        "inferer": inferer.value,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "megabytes_by_requests": readings,
        "growth_after_the_first_300": growth,
    }
    out = ROOT / "benchmarks" / "results" / f"soak-{inferer.value}.json"
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _jobs(pictures: list[Picture], count: int, seed: int) -> Iterator[tuple[bool, bytes | Picture, bytes | Picture]]:
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    for number in range(count):
        yield number % 2 == 0, _changed(chance, chance.choice(pictures)), _changed(chance, chance.choice(pictures))


def _changed(chance: random.Random, picture: Picture) -> bytes | Picture:
    """The picture at another size, cropped, and as one of four kinds: raw, JPEG, PNG, WebP."""
    height, width = picture.shape[:2]
    top, left = chance.randrange(height // 4), chance.randrange(width // 4)
    scale = chance.uniform(0.3, 1.2) * 800 / max(height, width)
    changed = cv2.resize(picture[top:, left:], None, fx=scale, fy=scale)
    kind = chance.choice((None, ".jpg", ".jpg", ".png", ".webp"))
    return np.ascontiguousarray(changed) if kind is None else cv2.imencode(kind, changed)[1].tobytes()


def _send(client: FaceClient, verify: bool, first: bytes | Picture, second: bytes | Picture) -> None:
    try:
        if verify:
            client.verify(first, second, anti_spoofing=True)
        else:
            client.analyze(first, anti_spoofing=True)
    except NoFace:
        pass


def server_megabytes(watcher: int) -> float:
    """The anonymous memory of the server's processes, and their regions in /dev/shm as far as they are in use."""
    rollups = [Path(f"/proc/{child.pid}/smaps_rollup") for child in psutil.Process(watcher).children(recursive=True)]
    kilobytes = sum(
        int(line.split()[1])
        for rollup in rollups
        for line in rollup.read_text(encoding="ascii").splitlines()
        if line.startswith("Anonymous:")
    )
    regions = sum(
        path.stat().st_blocks * 512 for path in shared_memory.REGIONS.glob(f"{shared_memory.START}*-{watcher}-*")
    )
    return (kilobytes * 1024 + regions) / 1e6


if __name__ == "__main__":
    typer.run(main)
