"""How long is service away after a kill -9 under load? `python -m benchmarks.recovery`.

Four callers verify without a pause while one process of the server is killed: a process behind a model, then
tritonserver itself. Measured is the time from the kill to the first verdict of a request sent after it. Writes
benchmarks/results/recovery.json.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import threading
import time

import psutil

from benchmarks import ROOT
from facegate.build.build import fetch_pack
from facegate.cli.demo import LIVE
from facegate.cli.options import DEFAULT_PACK
from facegate.cli.running import running_server
from facegate.packs.shipped import pack_named
from facegate_client import FaceClient, FaceGateError

ROUNDS = 5
VICTIMS = ("triton_python_backend_stub", "tritonserver")


def main() -> None:
    """Kill, measure, report."""
    picture = fetch_pack(pack_named(DEFAULT_PACK))[LIVE].read_bytes()
    seconds: dict[str, list[float]] = {victim: [] for victim in VICTIMS}
    with running_server() as (address, watcher), FaceClient(address, timeout_s=10) as client:
        stop = threading.Event()
        callers = [threading.Thread(target=_call_until, args=(stop, client, picture)) for _ in range(4)]
        for caller in callers:
            caller.start()
        for number in range(ROUNDS):
            for victim in VICTIMS:
                time.sleep(3)
                found = psutil.Process(watcher.pid).children(recursive=True)
                processes = [process for process in found if process.name().startswith(victim[:15])]
                processes[number % len(processes)].kill()
                seconds[victim].append(_until_served(client, picture))
                print(f"{victim}: served again after {seconds[victim][-1]:.1f} s", flush=True)
        stop.set()
        for caller in callers:
            caller.join()
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "seconds": {
            victim: {"median": statistics.median(times), "worst": max(times), "all": times}
            for victim, times in seconds.items()
        },
    }
    out = ROOT / "benchmarks" / "results" / "recovery.json"
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _call_until(stop: threading.Event, client: FaceClient, picture: bytes) -> None:
    while not stop.is_set():
        try:
            client.verify(picture, picture, anti_spoofing=True)
        except FaceGateError:
            time.sleep(0.05)


def _until_served(client: FaceClient, picture: bytes) -> float:
    """Seconds from now to a verdict. A verdict of a process that is not yet dead does not count."""
    killed = time.monotonic()
    time.sleep(0.3)
    refused = False
    while True:
        try:
            client.verify(picture, picture, anti_spoofing=True)
            if refused or time.monotonic() - killed > 5:
                return time.monotonic() - killed
        except FaceGateError:
            refused = True
        time.sleep(0.02)


if __name__ == "__main__":
    main()
